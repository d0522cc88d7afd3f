"""The black-box suite of bulk export holds against our server in both wire versions, and breaks against others."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from conformance.bulk.export import wait_of
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.suite import VERSIONS, Verdict, checks_of, run
from conformance.rest.server import Answer
from fhirstore import JobLimits
from fhirstore.commit.limits import Limits
from server.settings import Settings
from tests.conformance.serving import served
from tests.conformance.sloppy import sloppy
from tests.server.export.exporting import listening

_LIMITS = JobLimits(running=28, queued=4)  # fewer than the suite begins when it looks for the limit
_TIMES = Limits(window=1_500, transaction_window=1_500, apply=50)  # so long that polls find exports under way
_SKIPPED = {
    "capabilities.it_is_https",
    "capabilities.smart_is_configured",
    "capabilities.what_requires_a_token_is_not_there_without_one",
    "manifest.an_extension_is_an_object",
    "manifest.extensions_are_an_array",
    "manifest.partial_manifests_have_files_that_are_there",
    "manifest.partial_manifests_stay",
}
_SKIPPED_BY_SLOW_MACHINES = {  # where an export is done before the first poll; tests/server/export has the same facts
    "polling.under_way_is_202",
    "polling.progress_is_short",
    "polling.the_time_of_the_next_poll_is_told",
    "starting.the_status_of_the_export_is_told",
}


@pytest.fixture(scope="module")
def verdicts() -> dict[int, list[Verdict]]:
    """Every check against the app behind its HTTP server, a server for each version, both at once."""

    async def judged(version: int) -> list[Verdict]:
        async with listening(Settings(bulk_version=version), limits=_LIMITS, times=_TIMES) as url:
            return await run(url, checks_of(version), version=version)

    async def both() -> dict[int, list[Verdict]]:
        found = await asyncio.gather(*map(judged, VERSIONS))
        return dict(zip(VERSIONS, found, strict=True))

    return asyncio.run(both())


@pytest.mark.parametrize("version", VERSIONS)
def test_there_are_a_hundred_checks_and_each_cites_its_sentence(version: int) -> None:
    """Names are unique, sentences and pages are there."""
    checks = checks_of(version)
    assert len(checks) >= 100
    assert not [name for name, times in Counter(check.name for check in checks).items() if times > 1]
    assert all(check.sentence and check.url.startswith("https://") and "{" not in check.sentence for check in checks)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_check_holds(verdicts: dict[int, list[Verdict]], version: int) -> None:
    """Our server does what each of the sentences says; what is skipped needs what it does not have."""
    assert len(verdicts[version]) == len(checks_of(version))
    broken = [(verdict.check.name, verdict.complaint) for verdict in verdicts[version] if verdict.complaint]
    assert broken == []
    skipped = {verdict.check.name for verdict in verdicts[version] if verdict.skipped}
    about_export = {name for name in skipped if not name.startswith("submitting.")}  # those: test_bulk_submit
    assert about_export <= _SKIPPED | _SKIPPED_BY_SLOW_MACHINES


def test_a_kickoff_has_the_form_of_its_version() -> None:
    """GET with a query in 3; POST with Parameters in 4, and in 3 for what goes into a body only."""
    kickoff = Kickoff("Patient", (("_type", "Patient"), ("includeAssociatedData", "LatestProvenanceResources")))
    assert kickoff.request(3) == (
        "GET",
        "Patient/$export?_type=Patient&includeAssociatedData=LatestProvenanceResources",
        None,
    )
    method, path, body = kickoff.request(4)
    assert (method, path) == ("POST", "Patient/$export")
    assert body is not None
    assert [next(key for key in one if key != "name") for one in body["parameter"]] == ["valueString", "valueCoding"]  # type: ignore[attr-defined] # a list
    assert kickoff.with_(("patient", "Patient/1")).request(3)[0] == "POST"


async def _refusing(request: Request) -> Response:
    """Stores what the checks need, and refuses every export."""
    if "$export" in request.url.path:
        return JSONResponse({"error": "no"}, 200)
    return await _stored(request)


async def _stored(request: Request) -> Response:
    path = request.url.path
    if path.endswith("metadata"):
        url = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/"
        operation = [{"name": "export", "definition": f"{url}{kind}"} for kind in ("export", "patient-export")]
        groups = [{"type": "Group", "operation": [{"name": "export", "definition": f"{url}group-export"}]}]
        rest = {"operation": operation, "resource": [*groups, {"type": "Patient", "operation": operation}]}
        return JSONResponse({"resourceType": "CapabilityStatement", "rest": [rest]})
    if request.method == "POST":
        type_ = path.rsplit("/", 1)[-1]
        return JSONResponse({}, 201, headers={"Location": f"{type_}/1/_history/1", "ETag": 'W/"1"'})
    return JSONResponse({"resourceType": "Patient", "meta": {"lastUpdated": "2024-05-01T10:00:00.000Z"}})


@pytest.mark.slow
def test_every_check_can_fail() -> None:
    """Each breaks against a server that exports everything whatever it is asked, or one that exports nothing."""

    async def holding(url: str, version: int) -> set[str]:
        found = await run(url, checks_of(version), version=version)
        return {f"{one.check.name} {version}" for one in found if not one.complaint and not one.skipped}

    async def exported(version: int) -> set[str]:
        async with listening(Settings(bulk_version=version), limits=JobLimits(running=200, queued=1)) as url:
            with served(sloppy(url)) as front:
                return await holding(front, version)

    async def judged(refusing: str) -> list[set[str]]:
        return await asyncio.gather(
            *(exported(version) for version in VERSIONS), *(holding(refusing, version) for version in VERSIONS)
        )

    methods = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "POST"]
    with served(Starlette(routes=[Route("/{path:path}", _refusing, methods=methods)])) as url:
        *by_the_sloppy_ones, third, fourth = asyncio.run(judged(url))
    for names in by_the_sloppy_ones:
        assert len(names) >= 20
        assert names & (third | fourth) == set()


def test_retry_after_may_be_a_date() -> None:
    """Seconds or an HTTP date; a wait is never longer than a minute."""

    def answer(text: str) -> Answer:
        request = httpx.Request("GET", "http://127.0.0.1/")
        return Answer(httpx.Response(202, headers={"Retry-After": text}, request=request))

    assert wait_of(answer("7")) == 7
    assert wait_of(answer("600")) == 60
    assert wait_of(answer("Fri, 31 Dec 1999 23:59:59 GMT")) == pytest.approx(0.1)
