"""A10: a client that asks for a version in the archive is told so, with 503, and what to do."""

from __future__ import annotations

from fhirstore.objects.memory import MemoryStore
from tests.archive import ArchivingStore
from tests.server.serving import FHIR_JSON, serving


async def test_a10_an_archived_version_answers_503_with_what_to_do() -> None:
    """vread, history, and an entry of a batch alike; the current version is read as ever; no client asks at once."""
    bucket = ArchivingStore(MemoryStore())
    async with serving(objects=bucket) as served:
        client = served.client
        for active in ("true", "false"):
            body = b'{"resourceType":"Patient","id":"a","active":%s}' % active.encode()
            assert (await client.put("/fhir/Patient/a", content=body, headers=FHIR_JSON)).is_success
        await bucket.archive("/_history/")
        for path in ("Patient/a/_history/1", "Patient/a/_history?_sort=_lastUpdated"):
            answer = await client.get(f"/fhir/{path}")
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 600
            (issue,) = answer.json()["issue"]
            assert issue["code"] == "exception"
            assert "`fhirstore restore Patient/a/_history/1`" in issue["diagnostics"]
        batch = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": f"Patient/a/_history/{n}"}} for n in (1, 2)],
        }
        entries = (await client.post("/fhir", json=batch, headers=FHIR_JSON)).json()["entry"]
        assert [entry["response"]["status"].split()[0] for entry in entries] == ["503", "200"]
        for path in ("Patient/a", "Patient/a/_history/2", "Patient/a/_history?_count=1"):
            assert (await client.get(f"/fhir/{path}")).status_code == 200
