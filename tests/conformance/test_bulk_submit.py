"""The checks of bulk submit hold against our server, and each can fail."""

from __future__ import annotations

import asyncio
import json

import pytest
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conformance.bulk.check import Check
from conformance.bulk.submission import Submitting
from conformance.bulk.suite import Verdict, checks_of, run
from conformance.processes import free_ports
from fhirstore import NetworkSources, SubmitOptions, Submitter, Submitters
from server.settings import Settings
from tests.conformance.serving import served
from tests.server.export.exporting import listening

ACME = "https://example.org/submitters|acme"
CHECKS: tuple[Check, ...] = tuple(check for check in checks_of(4) if check.name.startswith("submitting."))
_METHODS = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "POST"]


def submitting() -> Submitting:
    (port,) = free_ports(1)
    return Submitting(ACME, f"127.0.0.1:{port}")


async def _judged(url: str, who: Submitting) -> list[Verdict]:
    return await run(url, CHECKS, version=4, submitter=who)


def test_every_check_holds() -> None:
    """None is skipped."""

    async def judged() -> list[Verdict]:
        who = submitting()
        acme = Submitter(
            identifier=ACME,
            tenant="default",
            hosts=(who.listen,),
            plain_http=True,
            private_addresses=True,
            client_id="client-1",
            client_key="env:KEY",
        )
        key = json.dumps(ECKey.generate_key("P-384").as_dict(private=True))
        sources = NetworkSources(secrets={"KEY": key}.get)
        options = SubmitOptions(submitters=Submitters([acme]), sources=sources)
        async with listening(Settings(bulk_version=4, submitters="x"), submit_options=options) as url:
            return await _judged(url, who)

    verdicts = asyncio.run(judged())
    assert len(verdicts) == len(CHECKS) >= 28
    assert [(one.check.name, one.complaint, one.skipped) for one in verdicts if one.complaint or one.skipped] == []


def test_without_a_submitter_they_are_skipped() -> None:
    """The others need none."""
    verdicts = asyncio.run(run("http://127.0.0.1:1/fhir", CHECKS, version=4))
    assert all(one.skipped for one in verdicts)


async def _agreeing(request: Request) -> Response:
    """Accepts everything, says at once that it is done, and does nothing."""
    if request.url.path.endswith("$bulk-submit-status"):
        headers = {"Content-Location": "relative", "Preference-Applied": "separate-export-status"}
        return Response(None, 202, headers | {"Content-Location": str(request.base_url) + "status"})
    if request.url.path.endswith("status"):
        outcome = [{"type": "OperationOutcome", "url": str(request.base_url) + "file"}]
        return JSONResponse({"outcome": outcome}, media_type="text/json", headers={"X-Export-Status": "200 OK"})
    if request.url.path.endswith("file"):
        return Response(b'{"resourceType":"Patient"}\n', media_type="text/plain")
    return JSONResponse({"resourceType": "Patient", "gender": "male"})


async def _refusing(request: Request) -> Response:
    """Refuses everything, without a reason."""
    return Response("no", 404, media_type="text/plain")


async def _failing(request: Request) -> Response:
    """Refuses everything with an OperationOutcome."""
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "exception"}]}
    return JSONResponse(outcome, 500)


@pytest.mark.slow
def test_every_check_can_fail() -> None:
    """Each breaks against a server that agrees to everything, or one that refuses everything."""

    def holding(answer: object) -> set[str]:
        route = Route("/{path:path}", answer, methods=_METHODS)  # type: ignore[arg-type]
        with served(Starlette(routes=[route])) as url:
            found = asyncio.run(_judged(url, submitting()))
        return {one.check.name for one in found if not one.complaint and not one.skipped}

    agreeing, refusing, failing = holding(_agreeing), holding(_refusing), holding(_failing)
    assert refusing == set()
    assert agreeing & failing == set()
