"""Polls tell how far an export is, DELETE ends it, and both know only the tenant's own exports."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest

from fhirstore.errors import Issue
from fhirstore.export.exports import Exports, ExportStatus
from server.settings import Settings
from tests.server.export.exporting import ASYNC, begun, exported, exporting, finished
from tests.server.serving import FHIR_JSON

_TWO = Settings(tenant_source="path", tenants=frozenset({"one", "two"}))


async def test_a_poll_says_how_far_it_is_and_the_last_one_has_the_manifest() -> None:
    """202 with progress and the time of the next poll; 200 with the manifest and when it expires."""
    async with exporting(Settings(export_expiry=3_600)) as client:
        await client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
        where = await begun(client)
        under_way = await client.get(where)
        assert (under_way.status_code, under_way.content) == (202, b"")
        assert 0 < len(under_way.headers["x-progress"]) < 100
        assert 1 <= int(under_way.headers["retry-after"]) <= 10
        done = await finished(client, where)
        assert done.headers["content-type"] == "application/json"
        left = parsedate_to_datetime(done.headers["expires"]) - parsedate_to_datetime(done.headers["date"])
        assert 3_500 < left.total_seconds() <= 3_600
        assert [item["type"] for item in done.json()["output"]] == ["Patient"]
        assert (await client.get(where)).content == done.content


async def test_polls_that_come_too_fast_are_refused() -> None:
    """Each job has its own measure; the answer says how long to wait, and that is long enough."""
    async with exporting() as client:
        where, other = await begun(client), await begun(client)
        answers = [await client.get(where) for _ in range(12)]
        assert [answer.status_code for answer in answers[:10]] == [202] * 10
        refused = answers[-1]
        assert refused.status_code == 429
        assert refused.json()["issue"][0]["code"] == "throttled"
        assert (await client.get(other)).status_code == 202
        await asyncio.sleep(int(refused.headers["retry-after"]))
        assert (await client.get(where)).status_code in (200, 202)


async def test_a_storm_of_polls_costs_the_store_nothing() -> None:
    """Refused polls send no request to the store."""
    async with exporting() as client:
        where = await begun(client)
        answers = await asyncio.gather(*(client.get(where) for _ in range(200)))
        assert sum(answer.status_code == 429 for answer in answers) >= 180


async def test_delete_ends_it_for_ever() -> None:
    """202 once; then 404 with an OperationOutcome for polls, files and another DELETE."""
    async with exporting() as client:
        await client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
        under_way, complete = await begun(client), await begun(client)
        manifest = (await finished(client, complete)).json()
        for where in (under_way, complete):
            deleted = await client.delete(where)
            assert (deleted.status_code, deleted.json()["resourceType"]) == (202, "OperationOutcome")
            for answer in (await client.get(where), await client.delete(where)):
                assert answer.status_code == 404
                assert answer.json()["resourceType"] == "OperationOutcome"
                assert answer.headers["content-type"].startswith("application/fhir+json")
        assert (await client.get(manifest["output"][0]["url"])).status_code == 404


async def test_the_status_of_the_export_may_be_told_apart() -> None:
    """With separate-export-status, polls are 200 and X-Export-Status is the export's; 404 stays 404."""
    async with exporting() as client:
        headers = {**ASYNC, "Prefer": "respond-async,separate-export-status"}
        answer = await client.get("/fhir/$export", headers=headers)
        assert answer.headers["preference-applied"] == "respond-async, separate-export-status"
        where = answer.headers["content-location"]
        first = await client.get(where)
        assert (first.status_code, first.headers["x-export-status"]) == (200, "202 Accepted")
        last = await finished(client, where)
        assert (last.status_code, last.headers["x-export-status"]) == (200, "200 OK")
        assert "transactionTime" in last.json()
        await client.delete(where)
        assert (await client.get(where)).status_code == 404


@pytest.mark.parametrize(
    ("query", "status", "told"), [("", 500, None), ("?status=separate", 200, "500 Internal Server Error")]
)
async def test_an_export_that_failed_says_why(
    monkeypatch: pytest.MonkeyPatch, query: str, status: int, told: str | None
) -> None:
    """With the issues of the job as an OperationOutcome."""
    async with exporting() as client:
        where = await begun(client)
        real = Exports.status

        async def failed(self: Exports, id: str) -> ExportStatus:
            found = await real(self, id)
            return replace(found, status="failed", manifest=None, failure=(Issue("timeout", "It took too long"),))

        monkeypatch.setattr(Exports, "status", failed)
        answer = await client.get(where + query)
        assert answer.status_code == status
        assert answer.headers.get("x-export-status") == told
        assert answer.headers["content-type"].startswith("application/fhir+json")
        assert answer.json()["issue"] == [{"severity": "error", "code": "timeout", "diagnostics": "It took too long"}]


_NOBODYS = ("x", "0" * 26, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "%2e%2e", "01ARZ3NDEKTSV4RRFFQ69G5FAV%00", "a" * 5_000)


async def test_what_is_no_export_is_404() -> None:
    """An id of nobody, and what can be none; nothing is read for the latter."""
    async with exporting() as client:
        for id_ in _NOBODYS:
            for method in ("GET", "DELETE", "HEAD"):
                answer = await client.request(method, f"/fhir/_export/{id_}")
                assert answer.status_code == 404, id_
                assert method == "HEAD" or answer.json()["resourceType"] == "OperationOutcome"


async def test_an_export_is_of_its_tenant_alone() -> None:
    """Status, DELETE and files are below the tenant's base URL; another tenant's is 404, and stays untouched."""
    async with exporting(_TWO) as client:
        await client.put("/fhir/one/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
        where = await begun(client, "/fhir/one/$export")
        assert where.startswith("http://testserver/fhir/one/_export/")
        foreign = where.replace("/one/", "/two/")
        assert (await client.get(foreign)).status_code == 404
        assert (await client.delete(foreign)).status_code == 404
        manifest = (await finished(client, where)).json()
        url = manifest["output"][0]["url"]
        assert url.startswith("http://testserver/fhir/one/")
        assert (await client.get(url)).status_code == 200
        assert (await client.get(url.replace("/one/", "/two/"))).status_code == 404
        assert manifest["request"] == "http://testserver/fhir/one/$export"


async def test_a_tenant_in_a_header_is_asked_for_again() -> None:
    """The URLs are the same for all; the header decides."""
    settings = Settings(tenant_source="header", tenants=frozenset({"one", "two"}))
    async with exporting(settings) as client:
        answer = await client.get("/fhir/$export", headers={**ASYNC, "X-Tenant-ID": "one"})
        where = answer.headers["content-location"]
        assert (await client.get(where)).status_code == 400
        assert (await client.get(where, headers={"X-Tenant-ID": "two"})).status_code == 404
        assert (await client.get(where, headers={"X-Tenant-ID": "one"})).status_code in (200, 202)


async def test_unknown_parameters_of_a_poll_are_refused() -> None:
    """By name, as everywhere."""
    async with exporting() as client:
        where = await begun(client)
        assert (await client.get(f"{where}?_count=1")).status_code == 400
        assert (await client.get(f"{where}?page=../x")).status_code == 404


async def test_the_urls_are_those_of_the_base_url() -> None:
    """Of FHIRSTORE_BASE_URL where it is set, whatever Host a client sends."""
    async with exporting(Settings(base_url="https://fhir.example/r4")) as client:
        answer = await client.get("/fhir/$export", headers=ASYNC)
        assert answer.headers["content-location"].startswith("https://fhir.example/r4/_export/")


async def test_a_manifest_has_the_shape_of_its_version() -> None:
    """One export; the setting decides how it is shown."""
    for version, messages in ((3, "error"), (4, "outcome")):
        async with exporting(Settings(bulk_version=version)) as client:
            await client.put("/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON)
            answer = await client.post("/fhir/$export", headers=ASYNC)
            manifest = (await finished(client, answer.headers["content-location"])).json()
            assert manifest[messages] == []
            assert ("request" in manifest, "manifestType" in manifest) == (version == 3, version == 4)
    async with exporting() as client:
        assert (await exported(client))["output"] == []
