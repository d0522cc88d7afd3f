"""The cost of each interaction in storage requests and sequential round trips, exactly."""

from __future__ import annotations

import pytest

from fhirstore.objects.memory import MemoryStore
from tests.server.serving import FHIR_JSON, Served, serving

BODY = b'{"resourceType":"Patient","id":"p"}'


@pytest.mark.parametrize(
    ("method", "path", "requests", "round_trips"),
    [
        ("POST", "/fhir/Patient", {"PUT": 4}, 2),
        ("GET", "/fhir/Patient/p", {"GET": 1}, 1),
        ("GET", "/fhir/Patient/p/_history/1", {"GET": 2}, 1),
        ("PUT", "/fhir/Patient/p", {"GET": 1, "PUT": 4}, 3),
        ("DELETE", "/fhir/Patient/p", {"GET": 1, "PUT": 4}, 3),
        ("DELETE", "/fhir/Patient/missing", {"GET": 1}, 1),
        ("PUT", "/fhir/Patient/new", {"GET": 1, "PUT": 4}, 3),
        ("GET", "/fhir/Patient/missing", {"GET": 1}, 1),
        ("GET", "/fhir/metadata", {}, 0),
        ("GET", "/health/live", {}, 0),
    ],
)
async def test_requests_and_round_trips(method: str, path: str, requests: dict[str, int], round_trips: int) -> None:
    """An interaction costs what the protocol says, no more, in a process that sees the resource for the first time."""
    objects = MemoryStore()
    async with serving(objects=objects) as earlier:
        await earlier.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    content = BODY if path != "/fhir/Patient/new" else b'{"resourceType":"Patient","id":"new"}'
    async with serving(objects=objects) as served:
        with served.meter.measure() as cost:
            answer = await served.client.request(
                method, path, content=content if method in ("POST", "PUT") else None, headers=FHIR_JSON
            )
    assert answer.status_code < 500
    assert (cost.requests, cost.round_trips) == (requests, round_trips)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("seen_by", ["PUT", "GET"])
async def test_a_process_that_remembers_the_resource_saves_the_get(served: Served, method: str, seen_by: str) -> None:
    """Update and delete: 4 PUT in 2 round trips after this process wrote or read the resource."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    await served.client.request(seen_by, "/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    with served.meter.measure() as cost:
        await served.client.request(method, "/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    assert (cost.requests, cost.round_trips) == ({"PUT": 4}, 2)


@pytest.mark.parametrize("if_match", [None, 'W/"2"'])
async def test_what_a_process_remembers_may_be_stale_and_nothing_is_lost(if_match: str | None) -> None:
    """Another process wrote meanwhile: the update starts over with a GET, and If-Match is judged by the truth."""
    objects = MemoryStore()
    async with serving(objects=objects) as one, serving(objects=objects) as other:
        await one.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        await other.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        headers = FHIR_JSON | ({"If-Match": if_match} if if_match else {})
        answer = await one.client.put("/fhir/Patient/p", content=BODY, headers=headers)
        assert (answer.status_code, answer.headers["etag"]) == (200, 'W/"3"')
        stale = await other.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON | {"If-Match": 'W/"2"'})
        assert (stale.status_code, stale.headers["etag"]) == (412, 'W/"3"')
