"""What an interaction asks of the store: requests by verb and sequential round trips, counted inside one process.

The real app over the real store with a meter between them; HTTP is left out. Every request is delayed a little, as
by a network: on a store that answers at once, requests sent together would be finished one after the other.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from conformance.rates.run import environment, location_of
from conformance.rates.workload import CREATE, INTERACTIONS, Call, Stored
from conformance.s3servers import running as s3_running
from conformance.s3servers import seaweedfs
from fhirstore import FhirStore, open_objects
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.wrappers.faulty import FaultRates, FaultyStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from server.app import create_app
from server.settings import from_environment

DISTANT = FaultRates(delay=1.0, longest_delay=0.005)  # no faults; a wait before every request


class UnexpectedAnswer(Exception):
    """The server refused what it should have done, so its cost says nothing."""


@dataclass(frozen=True, slots=True)
class Count:
    """One interaction's cost: requests by object verb, and how many had to wait for one another."""

    requests: Mapping[str, int]
    round_trips: int


VERBS = ("HEAD", "LIST", "GET", "PUT", "POST", "DELETE")  # in the order in which they are told


def sentence(requests: Mapping[str, int]) -> str:
    """`1 GET + 4 PUT`."""
    return " + ".join(f"{requests[verb]} {verb}" for verb in VERBS if requests.get(verb))


async def counts_on(store: str) -> dict[str, Count]:
    """Each interaction's cost on a new, empty store of this kind. Raises UnexpectedAnswer, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fhirstore-counts-") as name, ExitStack() as stack:
        folder = Path(name)
        s3 = stack.enter_context(s3_running(seaweedfs, folder / "weed")) if store == "s3" else None
        stack.enter_context(environment(s3.serving(s3.location("counted")) if s3 else {}))
        location = location_of(store, folder, "counted", s3)
        objects = await open_objects(location, s3=from_environment(os.environ).s3)
        try:
            return await count(objects)
        finally:
            await objects.aclose()


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
