"""The black-box suite holds against our server, and breaks against servers that are none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conformance.report import write_junit
from conformance.rest.suite import CHECKS, Verdict, run
from tests.conformance.serving import served
from tests.server.processes import ServeProcess


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Verdict]]:
    """Every check against `fhirstore serve` on an embedded store."""
    folder = tmp_path_factory.mktemp("rest")
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{folder / 'data'}"})
    server.start()
    try:
        yield asyncio.run(run(server.base_url))
    finally:
        server.stop()


def test_there_are_at_least_two_hundred_checks_and_each_cites_its_sentence() -> None:
    """Names are unique, sentences and pages are there."""
    assert len(CHECKS) >= 200
    assert not [name for name, times in Counter(check.name for check in CHECKS).items() if times > 1]
    assert all(check.sentence and check.url.startswith("https://") for check in CHECKS)


def test_every_check_holds(verdicts: list[Verdict]) -> None:
    """Our server does what each of the sentences says."""
    assert len(verdicts) == len(CHECKS)
    assert [(verdict.check.name, verdict.complaint) for verdict in verdicts if verdict.complaint] == []


def test_the_report_is_junit(verdicts: list[Verdict], tmp_path: Path) -> None:
    """A build can read which checks ran, and what each of them cites."""
    first, *others = (Verdict(verdict.check, "", verdict.seconds) for verdict in verdicts)
    broken = [Verdict(first.check, "it does something else", 0.1), *others]
    write_junit(broken, tmp_path / "rest.xml", suite="rest")
    suite = ElementTree.parse(tmp_path / "rest.xml").getroot()  # noqa: S314 - our own file
    assert suite.get("tests") == str(len(CHECKS))
    assert [case.get("name") for case in suite if len(case)] == [first.check.name.partition(".")[2]]


async def _agreeable(_: Request) -> Response:
    return JSONResponse({"resourceType": "Patient", "id": "1"}, headers={"ETag": 'W/"1"'})


async def _agreeably_created(_: Request) -> Response:
    headers = {"Location": "Patient/1/_history/1", "ETag": 'W/"1"'}
    return JSONResponse({"resourceType": "Patient", "id": "1"}, 201, headers)


async def _refusing(_: Request) -> Response:
    issue = {"severity": "error", "code": "processing"}
    return JSONResponse({"resourceType": "OperationOutcome", "issue": [issue]}, 400)


@pytest.mark.slow
def test_every_check_can_fail() -> None:
    """What holds for a server that agrees to everything breaks for one that refuses everything."""
    agreeing = Starlette(
        routes=[
            Route("/{path:path}", _agreeable, methods=["GET", "PUT", "PATCH", "DELETE", "HEAD"]),
            Route("/{path:path}", _agreeably_created, methods=["POST"]),
        ]
    )
    refusing = Starlette(
        routes=[Route("/{path:path}", _refusing, methods=["GET", "PUT", "PATCH", "DELETE", "HEAD", "POST"])]
    )
    holding: list[set[str]] = []
    for app in (agreeing, refusing):
        with served(app) as url:
            holding.append({verdict.check.name for verdict in asyncio.run(run(url)) if not verdict.complaint})
    assert holding[0] & holding[1] == set()
