"""The cost of each interaction in storage requests and sequential round trips, exactly."""

from __future__ import annotations

import pytest

from tests.server.serving import FHIR_JSON, Served

BODY = b'{"resourceType":"Patient","id":"p"}'


@pytest.mark.parametrize(
    ("method", "path", "requests", "round_trips"),
    [
        ("POST", "/fhir/Patient", {"PUT": 4}, 2),
        ("GET", "/fhir/Patient/p", {"GET": 1}, 1),
        ("GET", "/fhir/Patient/p/_history/1", {"GET": 2}, 1),
        ("PUT", "/fhir/Patient/p", {"GET": 1, "PUT": 4}, 3),
        ("DELETE", "/fhir/Patient/p", {"GET": 1, "PUT": 4}, 3),
        ("PUT", "/fhir/Patient/new", {"GET": 1, "PUT": 4}, 3),
        ("GET", "/fhir/Patient/missing", {"GET": 1}, 1),
        ("GET", "/fhir/metadata", {}, 0),
        ("GET", "/health/live", {}, 0),
    ],
)
async def test_requests_and_round_trips(
    served: Served, method: str, path: str, requests: dict[str, int], round_trips: int
) -> None:
    """An interaction costs what the protocol says, no more."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    content = BODY if path != "/fhir/Patient/new" else b'{"resourceType":"Patient","id":"new"}'
    with served.meter.measure() as cost:
        answer = await served.client.request(
            method, path, content=content if method in ("POST", "PUT") else None, headers=FHIR_JSON
        )
    assert answer.status_code < 500
    assert (cost.requests, cost.round_trips) == (requests, round_trips)
