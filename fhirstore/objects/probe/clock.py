"""Checks the store's clock, and that it is read correctly. The protocol trusts no clock but the store's.

The clock is read once before the other checks and once after them, so that time has passed in between. Answers carry
whole seconds and take time to arrive; a clock is broken only if it is off by more than both can explain.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fhirstore.objects.probe.client import Broken, Inconclusive, ProbeClient

SECOND = 1_000  # ms, the Date header's step
TOLERANCE = 2_000  # ms that the clocks of servers behind one endpoint may differ
LONG_ENOUGH = 2_200  # ms after which a clock of whole seconds must have moved


@dataclass(frozen=True, slots=True)
class Sight:
    """One reading of the store's clock, between two readings of this machine's. All epoch ms."""

    before: int
    date: int
    after: int


async def look(client: ProbeClient) -> Sight:
    """Write an object and return the time in the store's answer."""
    before = client.clock.now()
    written = await client.patiently(lambda: client.store.put(f"{client.root}store-clock", b""))
    return Sight(before, written.date, client.clock.now())


async def store_clock(client: ProbeClient, *, first: Sight | None) -> str:
    """Compare a second reading with the first and with the store object's estimate."""
    if first is None:
        raise Inconclusive("no answer to the first look")
    passed = client.clock.now() - first.after
    if client.effort.patient and passed < LONG_ENOUGH:
        await asyncio.sleep((LONG_ENOUGH - passed) / 1000)
    last = await look(client)
    compare(first, last, client.store.now())
    return f"{client.store.now() - client.clock.now():+d} ms to this machine's clock"


def compare(first: Sight, last: Sight, estimate: int) -> None:
    """Raises Broken unless the store's clock advanced as this machine's did, and `estimate` (made after `last`)
    fits."""
    if min(first.date, last.date) <= 0:
        raise Broken("the store's answers carry no date")
    advanced = last.date - first.date
    slack = SECOND + TOLERANCE
    if not last.before - first.after - slack <= advanced <= last.after - first.before + slack:
        raise Broken(f"the store's clock moved by {advanced} ms while {last.after - first.before} ms passed here")
    if last.before - first.after >= LONG_ENOUGH and advanced <= 0:
        raise Broken("the store's clock stood still")
    ahead = estimate - last.date
    if not -TOLERANCE <= ahead <= slack + last.after - last.before:
        raise Broken(f"the store's clock is estimated {ahead} ms off its own answers")
