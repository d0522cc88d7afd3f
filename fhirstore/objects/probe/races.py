"""Races of conditional writes: a store may pass every sequential check and still fail under load.

A store that compares first and writes later lets several racers win. So many writers race at once, on several keys, and
each race is judged by the answers and by the object afterwards. Every second round sends its PUTs with a write window,
as a commit does, because those may take another way to the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.errors import (
    ConditionalConflict,
    OutcomeUnknown,
    PreconditionFailed,
    StoreBusy,
    WriteWindowClosed,
)
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, StoredObject
from fhirstore.objects.probe.client import ATTEMPTS, Broken, Inconclusive, ProbeClient, together

TRIES = 3  # per round, each on a fresh key, before unclear answers make it inconclusive
ABREAST = 64  # requests of one check in flight: as racers of one key or of several keys at once
WINDOW = 60_000  # ms; races must not run out of it on a slow store


@dataclass(frozen=True, slots=True)
class Racer:
    """One racer's body and the answer to its PUT: the ETag, or the refusal."""

    body: bytes
    etag: str | None = None
    refusal: type[Exception] | None = None


def judge(racers: Sequence[Racer], found: StoredObject | None) -> None:
    """Return if exactly one racer won and its body is the object. Raises Broken, or Inconclusive to race again."""
    winners = [racer for racer in racers if racer.etag is not None]
    if len(winners) > 1:
        raise Broken(f"{len(winners)} of {len(racers)} racers were told that they had won")
    if winners:
        (winner,) = winners
        if found is None or found.body != winner.body:
            raise Broken("the winner's body did not stay: a racer that had lost overwrote it")
        if found.etag != winner.etag:
            raise Broken("the winner was told another ETag than a GET shows")
    clear = sum(racer.refusal in (PreconditionFailed, ConditionalConflict) for racer in racers)
    if not winners or clear == 0:
        answers = sorted({racer.refusal.__name__ for racer in racers if racer.refusal})
        raise Inconclusive(f"no contest in {TRIES} tries: the racers were answered {', '.join(answers)}")


async def if_absent_race(client: ProbeClient) -> str:
    """Many writers create one key."""
    return await _rounds(client, "if-absent-race", over=False)


async def if_match_race(client: ProbeClient) -> str:
    """Many writers replace one version."""
    return await _rounds(client, "if-match-race", over=True)


async def _rounds(client: ProbeClient, name: str, *, over: bool) -> str:
    """Run the rounds on different keys, as many in parallel as `ABREAST` allows, until one is broken."""
    waiting = list(enumerate(client.effort.racers))
    while waiting:
        abreast = [waiting.pop(0)]
        while waiting and sum(racers for _, racers in (*abreast, waiting[0])) <= ABREAST:
            abreast.append(waiting.pop(0))
        await together(
            _round(client, f"{client.root}{name}/{number}", racers, over=over, windowed=number % 2 == 1)
            for number, racers in abreast
        )
    most = max(client.effort.racers, default=0)
    return f"one winner in each of {len(client.effort.racers)} rounds of up to {most}"


async def _round(client: ProbeClient, folder: str, racers: int, *, over: bool, windowed: bool) -> None:
    for attempt in range(TRIES):
        key = f"{folder}-{attempt}"
        condition: Condition = IF_ABSENT
        if over:  # created with a condition, because a late plain PUT would overwrite the winner
            condition = IfMatch(await client.put(key, client.body(), condition=IF_ABSENT))
        expires = client.store.now() + WINDOW if windowed else None
        bodies = [client.body() for _ in range(racers)]
        ran = await together(_race(client, key, body, condition=condition, expires=expires) for body in bodies)
        try:
            judge(ran, await client.read(key))
            return
        except Inconclusive:
            if attempt == TRIES - 1:
                raise
            await client.pause(attempt)


async def _race(client: ProbeClient, key: str, body: bytes, *, condition: Condition, expires: int | None) -> Racer:
    try:
        written = await client.store.put(key, body, condition=condition, expires=expires)
    except (PreconditionFailed, ConditionalConflict, WriteWindowClosed, StoreBusy, OutcomeUnknown) as refusal:
        return Racer(body, refusal=type(refusal))
    return Racer(body, etag=written.etag)


async def lost_update_race(client: ProbeClient) -> str:
    """Each of K tasks adds its own line to one object by GET and If-Match PUT; in the end it has all K lines, once.

    All begin with the same GET, so that however slow the store is, K PUTs over one version are in the race.
    """
    key = f"{client.root}lost-update-race/lines"
    await client.put(key, b"", condition=IF_ABSENT)
    lines = [f"{client.ids.new()}\n".encode() for _ in range(client.effort.counters)]
    first = await client.read(key)
    added = await together(_add(client, key, line, first) for line in lines)
    unclear = added.count(False)
    found = await client.read(key)
    standing = found.body.splitlines(keepends=True) if found else []
    lost = sum(done and line not in standing for done, line in zip(added, lines, strict=True))
    if lost or len(standing) != len(set(standing)):
        raise Broken(f"{lost} of {len(lines)} acknowledged updates were lost")
    if unclear:
        raise Inconclusive(f"{unclear} of {len(lines)} tasks got no update through")
    return f"{len(lines)} concurrent updates, none lost"


async def _add(client: ProbeClient, key: str, line: bytes, found: StoredObject | None) -> bool:
    """Add the line to the object `found`. Returns whether that was acknowledged or the line was read back. Each further
    try starts with a GET.
    """
    for attempt in range(ATTEMPTS + 2 * client.effort.counters):
        if attempt:
            found = await client.read(key)
        if found is None:
            raise Broken("the object disappeared while it was updated")
        if line in found.body:
            return True
        try:
            await client.store.put(key, found.body + line, condition=IfMatch(found.etag))
        except (PreconditionFailed, ConditionalConflict, StoreBusy, OutcomeUnknown):
            await client.pause(min(attempt, 3))  # mostly another task's success, so the pause need not grow
        else:
            return True
    return False
