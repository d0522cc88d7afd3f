"""Exports while others write: each equals what the history says was there at its time, and a chain of them tiles.

A round: writers create, change, delete and purge resources, alone and in transactions; meanwhile exports of everything
and of what changed since the last round are kicked off. When they have ended, every version of every resource is read,
and says what must be in their files.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from fhirstore import ExportRequest, FhirStore, NotFound, TenantStore, Version
from fhirstore.errors import FhirError
from tests.export.reading import deletions, ended, output

_TYPES = ("Patient", "Observation")
_AT_ONCE = 16


@dataclass(slots=True)
class Rounds:
    """`seconds` of writing in a round, by `writers` writers. `ids`: of all resources ever written; `purged`: those that
    were purged at some time, whose versions an export may have seen or not.
    """

    store: FhirStore
    seed: int
    seconds: float = 1.0
    writers: int = 4
    ids: set[tuple[str, str]] = field(default_factory=set)
    purged: set[tuple[str, str]] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    checked: int = 0  # lines
    since: int | None = None
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    @property
    def clinic(self) -> TenantStore:
        return self.store.tenant("default")

    async def round(self) -> None:
        """One round, in which a worker runs already."""
        writing = [asyncio.create_task(self._write()) for _ in range(self.writers)]
        started: list[tuple[str, int | None]] = []
        for _ in range(2):
            await asyncio.sleep(self._chance.random() * self.seconds / 2)
            for since in {None, self.since}:
                started.append((await self._kick_off(since), since))
        await asyncio.gather(*writing)
        ends = [await ended(self.clinic, id_) for id_, _ in started]
        history = await self._history()
        for (id_, since), end in zip(started, ends, strict=True):
            if end.manifest is None:
                self.wrong.append(f"failed: {end.failure}")
                continue
            at = end.manifest.transaction_time
            lines = await output(self.clinic, id_, end.manifest)
            gone = await deletions(self.clinic, id_, end.manifest)
            self._compare(at, since, lines, gone, history)
            self.since = at if self.since is None else max(self.since, at)
            if end.manifest.error:
                self.wrong.append("reports errors")
            await self.clinic.exports.cancel(id_)

    async def _kick_off(self, since: int | None) -> str:
        return (await self.clinic.exports.start(ExportRequest(types=_TYPES, since=since))).id

    async def _write(self) -> None:
        chance, clinic = self._chance, self.clinic
        loop = asyncio.get_running_loop()
        until = loop.time() + self.seconds
        while loop.time() < until:
            with suppress(FhirError):  # somebody else was quicker; the history says what came of it
                await self._write_one(chance, clinic)
            await asyncio.sleep(chance.random() * 0.02)

    async def _write_one(self, chance: random.Random, clinic: TenantStore) -> None:
        roll, known = chance.random(), sorted(self.ids)
        if roll < 0.3 or not known:
            version = await clinic.create(_resource(chance.choice(_TYPES), None, chance))
            self.ids.add((version.type, version.id))
        elif roll < 0.6:
            type_, id_ = chance.choice(known)
            await clinic.update(_resource(type_, id_, chance))
        elif roll < 0.75:
            await clinic.delete(*chance.choice(known))
        elif roll < 0.97:
            some = chance.sample(known, min(3, len(known)))
            await clinic.transaction(
                {
                    "resourceType": "Bundle",
                    "type": "transaction",
                    "entry": [
                        {
                            "resource": _resource(type_, id_, chance),
                            "request": {"method": "PUT", "url": f"{type_}/{id_}"},
                        }
                        for type_, id_ in some
                    ],
                }
            )
        else:
            one = chance.choice(known)
            self.purged.add(one)
            await clinic.upkeep.purge(*one, by="test")

    async def _history(self) -> Mapping[tuple[str, str], list[Version]]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def of(type: str, id: str) -> list[Version]:
            async with gate:
                try:
                    return [version async for version in self.clinic.history(type, id)]
                except NotFound:
                    return []

        ids = sorted(self.ids)
        return dict(zip(ids, await asyncio.gather(*[of(*one) for one in ids]), strict=True))

    def _compare(
        self,
        at: int,
        since: int | None,
        lines: Counter[bytes],
        gone: Counter[str],
        history: Mapping[tuple[str, str], list[Version]],
    ) -> None:
        self.checked += lines.total() + gone.total()
        for (type_, id_), versions in history.items():
            if (type_, id_) in self.purged:
                lines -= Counter({line: 1 for line in lines if f'"id":"{id_}"'.encode() in line})
                gone.pop(f"{type_}/{id_}", None)
                continue
            visible = next((one for one in versions if one.last_updated_ms <= at), None)
            if visible is None or (since is not None and visible.last_updated_ms <= since):
                continue
            found = gone.pop(f"{type_}/{id_}", 0) if visible.deleted else lines.pop(visible.content, 0)
            wanted = 0 if visible.deleted and since is None else 1
            if found != wanted:
                self.wrong.append(f"{visible!r} is {found} times in an export at {at} since {since}")
        if lines or gone:
            self.wrong.append(f"{lines.total()} lines and {gone.total()} deletions too many at {at} since {since}")


def _resource(type: str, id: str | None, chance: random.Random) -> dict[str, object]:
    body: dict[str, object] = {"resourceType": type, "language": f"x-{chance.randrange(10**9)}"}
    if id is not None:
        body["id"] = id
    if type == "Observation":
        body |= {"status": "final", "code": {"text": "x"}}
    return body
