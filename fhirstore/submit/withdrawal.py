"""Undoes a manifest that was replaced, or whose submission was stopped: segment by segment, from the plans.

https://hl7.org/fhir/uv/bulkdata/submit.html#submissionstatus-parameter ("The Data Consumer SHALL stop retrieving files
and delete any data already processed")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List
from fhirstore.engine import Engine
from fhirstore.errors import Contention, ObjectArchived, Unavailable, WriteOutcomeUnknown
from fhirstore.jobs.lease import put_once
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import ManifestKeys, parse_segment
from fhirstore.submit.parallel import each
from fhirstore.submit.segment import (
    Counts,
    LineIssue,
    LineOutcome,
    Plan,
    PlannedWrite,
    UndoResults,
    decode_plan,
    decode_results,
    decode_undo,
)
from fhirstore.submit.standing import Standing
from fhirstore.submit.state import UNDONE, Manifest
from fhirstore.submit.summary import Summary, Told, write_outcomes
from fhirstore.submit.tokens import Family, Tokens
from fhirstore.submit.undo import ARCHIVED, KEPT, REMOVED, RESTORED, Undone, undo
from fhirstore.tenancy import Place

_TRIES = 4
_PAUSE = 0.5  # seconds before a resource is tried again


@dataclass(slots=True)
class Undoing:
    """The undoing of one manifest. `family`: all manifests of the submission that are undone, this one among them.

    `progress`: stores that the undoing goes on; called after each segment.
    """

    engine: Engine
    place: Place
    standing: Standing
    manifest: Manifest
    keys: ManifestKeys
    tokens: Tokens
    family: Family
    at_once: int
    epoch: int
    progress: Callable[[], Awaitable[None]]

    async def run(self) -> Summary:
        """Undoes the manifest, from where an earlier run ended. Returns its summary, stored.

        First waits until nothing can appear any more that an earlier run of the job wrote. Raises what leaves the fate
        of a resource open.
        """
        await self.standing.quiet()
        async for file, first in self._segments(self.keys.plans):
            key = self.keys.undo(file, first)
            if await body_of(self.place.objects, key) is None:
                results = await self._segment(file, first)
                await drive(put_once(key, results.encode(), until=self.standing.until), self.place.objects)
                await self.progress()
        return await self._summary()

    async def _segment(self, file: int, first: int) -> UndoResults:
        key = self.keys.plan(file, first)
        body = await body_of(self.place.objects, key)
        if body is None:
            return UndoResults()
        plan = decode_plan(body, key)
        after = await self._after(plan, file, first)
        found: dict[tuple[int, int], Undone] = {}

        async def one_resource(write: PlannedWrite) -> None:
            version = after.get((write.line, write.entry))
            if version == 0:
                return  # it is settled that this line wrote nothing
            found[write.line, write.entry] = await self._undo(write, file, version or 0)

        await each(plan.writes, one_resource, at_once=self.at_once, pacer=self.standing.pacer)
        kept = [
            LineOutcome(write.line, write.name, (_issue(undone),))
            for write in plan.writes
            if (undone := found.get((write.line, write.entry))) is not None
            and (undone.outcome in (KEPT, ARCHIVED) or undone.built_on)
        ]
        outcomes = [one.outcome for one in found.values()]
        return UndoResults(restored=outcomes.count(RESTORED), removed=outcomes.count(REMOVED), kept=tuple(kept))

    async def _after(self, plan: Plan, file: int, first: int) -> dict[tuple[int, int], int]:
        """Returns the version that each line made, where that is settled."""
        key = self.keys.results(file, first)
        body = await body_of(self.place.objects, key)
        if body is None:
            return {}
        made = decode_results(body, key).after
        return {(write.line, write.entry): version for write, version in zip(plan.writes, made, strict=False)}

    async def _undo(self, write: PlannedWrite, file: int, after: int) -> Undone:
        keys = self.place.keys.resource(write.type, write.id)
        token = self.tokens.line(file, write.line, write.entry)
        for n in range(_TRIES):
            protocol = undo(keys, self.family, token, before=write.before, after=after, context=self.standing.context)
            try:
                return await self.engine.run(self.place, protocol, locks=(keys.current,), heavy=True)
            except ObjectArchived:
                return Undone(ARCHIVED, after)
            except (Contention, Unavailable, WriteOutcomeUnknown):
                if n == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE * 2**n)
            finally:
                self.engine.remembered.forget(self.place.tenant, keys.current)
        raise AssertionError  # the loop returns or raises

    async def _summary(self) -> Summary:
        restored, removed, kept = 0, 0, 0

        async def told() -> AsyncIterator[Told]:
            nonlocal restored, removed, kept
            async for file, first in self._segments(self.keys.all_undo):
                key = self.keys.undo(file, first)
                body = await body_of(self.place.objects, key)
                if body is None:
                    continue
                results = decode_undo(body, key)
                restored, removed, kept = (
                    restored + results.restored,
                    removed + results.removed,
                    kept + len(results.kept),
                )
                for one in results.kept:
                    yield Told(one.issues, f"{self.manifest.base}/{one.source}")
            text = (
                f"The manifest was undone: {restored:,} resources have their former content again, {removed:,} were"
                f" deleted, {kept:,} stay as they are and are reported"
            )
            yield Told((LineIssue("information", "informational", text),))

        files = await write_outcomes(self.place.objects, self.keys, told(), name="undone", epoch=self.epoch)
        summary = Summary(
            state=UNDONE,
            ended=self.standing.now(),
            counts=Counts(updated=restored, deleted=removed),
            kept=kept,
            files=files,
        )
        await drive(put_once(self.keys.undone, summary.encode(), until=self.standing.until), self.place.objects)
        return summary

    async def _segments(self, prefix: str) -> AsyncIterator[tuple[int, int]]:
        """Yields file and first line of all objects below a prefix, in order. 1 LIST for a thousand."""
        cursor: str | None = None
        while True:
            page = await drive(listed(List(prefix, cursor=cursor)), self.place.objects)
            for item in page.objects:
                yield parse_segment(item.key.removeprefix(prefix).removesuffix(".json"))
            cursor = page.cursor
            if cursor is None:
                return


def _issue(undone: Undone) -> LineIssue:
    if undone.outcome == KEPT:
        text = f"Others have changed or purged this resource since (version {undone.version}), so it was left as it is"
    elif undone.outcome == ARCHIVED:
        text = "The former content lies in the bucket's archive, so this resource was left as it is; restore it there"
    else:
        text = "Others had changed this resource between two manifests of the submission; their content is back"
    return LineIssue("warning", "conflict", text)
