"""What an interaction asks of the store: requests by verb and sequential round trips, counted inside one process.

The real app over the real store with a meter between them; HTTP is left out. Every request is delayed a little, as
by a network: on a store that answers at once, requests sent together would be finished one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from conformance.bench.workload import CREATE, INTERACTIONS, Call, Stored
from fhirstore import FhirStore
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app

DISTANT = FaultRates(delay=1.0, longest_delay=0.005)  # no faults; a wait before every request


class UnexpectedAnswer(Exception):
    """The server refused what it should have done, so its cost says nothing."""


@dataclass(frozen=True, slots=True)
class Count:
    """One interaction's cost: requests by object verb, and how many had to wait for one another."""

    requests: Mapping[str, int]
    round_trips: int


async def count(objects: ObjectStore) -> dict[str, Count]:
    """Each interaction once, by its name. `objects` stays the caller's to close."""
    meter = MeteredStore(FaultyStore(objects, DISTANT, seed=1))
    app = create_app(FhirStore(PrefixTenancy(meter, frozenset({"default"}))))
    counts: dict[str, Count] = {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://bench") as client:
        stored: list[Stored] = []
        for interaction in INTERACTIONS:
            call = next(interaction.calls(stored))
            with meter.measure() as measured:
                answer = await _send(client, call)
            if answer.status_code not in interaction.expected:
                raise UnexpectedAnswer(f"{interaction.name}: {answer.status_code} {answer.text[:300]}")
            counts[interaction.name] = Count(dict(measured.requests), measured.round_trips)
            if interaction is CREATE:
                stored.append(Stored.at(answer.headers["Location"]))
    return counts


async def _send(client: httpx.AsyncClient, call: Call) -> httpx.Response:
    return await client.request(call.method, f"/fhir{call.path}", content=call.body, headers=call.headers)
