"""Carries a segment out: its plan, its commits, its results."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from fhirstore.commit.attempt import Base
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import stored
from fhirstore.commit.intents import base_for
from fhirstore.engine import Engine
from fhirstore.errors import (
    Contention,
    ContentTooLarge,
    CorruptRecord,
    InvalidExpression,
    InvalidResource,
    Issue,
    MalformedContent,
    PatchFailed,
    Unavailable,
    Unsupported,
    WriteOutcomeUnknown,
)
from fhirstore.format.digest import sha256
from fhirstore.index.names import without_the_rest
from fhirstore.jobs.lease import put_once
from fhirstore.objects.facts import Facts
from fhirstore.submit.bookkeeping import body_of
from fhirstore.submit.keys import ManifestKeys
from fhirstore.submit.line import Item, Read, Refused, Rules, decision, read_line
from fhirstore.submit.lines import Segment, numbered
from fhirstore.submit.manifest import ManifestFile
from fhirstore.submit.once import Once, write_once
from fhirstore.submit.parallel import each
from fhirstore.submit.segment import (
    Counts,
    LineIssue,
    LineOutcome,
    Plan,
    PlannedWrite,
    Results,
    decode_plan,
)
from fhirstore.submit.standing import Standing
from fhirstore.submit.tokens import Tokens
from fhirstore.tags import SUBMISSION
from fhirstore.tenancy import Place
from fhirstore.threads import LARGE, offload_if

_REFUSALS = (MalformedContent, InvalidResource, ContentTooLarge, PatchFailed, InvalidExpression, Unsupported)
_PASSING = (Contention, Unavailable, WriteOutcomeUnknown)
_TRIES = 4
_TOGETHER = 16  # lines that are read before others have a turn
_PAUSE = 0.5  # seconds before a line is tried again


@dataclass(frozen=True, slots=True)
class Kept:
    """What a plan says, and what its lines say. `bases`: by resource, as they were read for the plan.

    `again`: somebody may have committed some of the lines before.
    """

    plan: Plan
    items: tuple[tuple[PlannedWrite, Item], ...]
    outcomes: tuple[LineOutcome, ...]
    lines: int
    again: bool
    bases: dict[tuple[str, str], Base] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class FileWriting:
    """The writing of one file of a manifest. `number`: of the file. `at_once`: resources that are written at a time."""

    engine: Engine
    place: Place
    standing: Standing
    keys: ManifestKeys
    tokens: Tokens
    rules: Rules
    file: ManifestFile
    number: int
    organized: bool
    at_once: int

    async def plan(self, segment: Segment, etag: str | None) -> Kept:
        """Stores the lines and the plan of a segment. Commit point: PUT of the plan. 1 GET per resource, 2 PUT."""
        digest = sha256(segment.body)
        raw = self.keys.raw(self.number, segment.first, digest)
        keeping = asyncio.create_task(drive(stored(raw, segment.body, self._raw_facts()), self.place.objects))
        try:
            read, outcomes, lines = await self._read(segment.body, segment.first, segment.too_long)
            bases = await self._bases([item for _, item in read])
            await keeping
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
        writes = [
            PlannedWrite(
                line,
                item.entry,
                item.type,
                item.id,
                bases[item.type, item.id].version,
                "" if item.source == f"{item.type}/{item.id}" else item.source,
            )
            for line, item in read
        ]
        plan = Plan(
            raw=raw.removeprefix(self.keys.prefix),
            first=segment.first,
            start=segment.start,
            end=segment.end,
            count=segment.count,
            last=segment.last,
            too_long=tuple(segment.too_long),
            etag=etag,
            writes=tuple(writes),
        )
        key, body = self.keys.plan(self.number, segment.first), plan.encode()
        there = await drive(put_once(key, body), self.place.objects)
        if there != body:  # of an earlier run that has lost its lease since
            await self.standing.quiet()
            return await self.planned(decode_plan(there, key))
        items = tuple((write, item) for write, (_, item) in zip(writes, read, strict=True))
        return Kept(plan, items, tuple(outcomes), lines, again=False, bases=bases)

    def _raw_facts(self) -> Facts | None:
        job = self.standing.job
        return self.engine.tags.facts(SUBMISSION, self.place.tenant, content_type="application/fhir+ndjson", job=job)

    async def planned(self, plan: Plan) -> Kept:
        """Returns what a plan that is there says, with its lines. 1 GET."""
        key = self.keys.prefix + plan.raw
        body = await body_of(self.place.objects, key)
        if body is None:
            raise CorruptRecord(key)
        read, outcomes, lines = await self._read(body, plan.first, plan.too_long)
        writes = {(write.line, write.entry): write for write in plan.writes}
        items: list[tuple[PlannedWrite, Item]] = []
        for line, item in read:
            write = writes.get((line, item.entry))
            if write is not None and (write.type, write.id) == (item.type, item.id):
                items.append((write, item))
            else:  # only where the server's rules were changed in between; what is not planned cannot be undone
                issue = LineIssue("error", "conflict", "This line was refused by the rules when it was read first")
                outcomes.append(LineOutcome(line, item.source, (issue,)))
        return Kept(plan, tuple(items), tuple(outcomes), lines, again=True)

    async def carry_out(self, kept: Kept) -> Results:
        """Commits what a plan says. Returns the results, stored. 4 PUT per resource and 1 more.

        Two lines of one resource are committed in their order. Raises what leaves a line's fate open.
        """
        versions: dict[tuple[int, int], int] = {}
        kinds: Counter[str] = Counter()
        refused: list[LineOutcome] = []

        async def one_resource(chain: list[tuple[PlannedWrite, Item]]) -> None:
            base = None if kept.again else kept.bases.get((chain[0][0].type, chain[0][0].id))
            for write, item in chain:
                try:
                    done = await self._write(write, item, base)
                except _REFUSALS as error:
                    issues = tuple(LineIssue.of(issue) for issue in error.issues[:50])
                    refused.append(LineOutcome(write.line, item.source, issues))
                    versions[write.line, write.entry] = 0
                else:
                    versions[write.line, write.entry] = done.version
                    kinds[self._kind(done)] += 1
                base = None

        await each(_chains(kept.items), one_resource, at_once=self.at_once, pacer=self.standing.pacer)
        outcomes = (*kept.outcomes, *sorted(refused, key=lambda outcome: outcome.line))
        counts = Counts(
            lines=kept.lines,
            created=kinds["created"],
            updated=kinds["updated"],
            deleted=kinds["deleted"],
            unchanged=kinds["unchanged"],
            existing=kinds["existing"],
            failed=len({outcome.line for outcome in outcomes if outcome.failed}),
        )
        after = tuple(versions.get((write.line, write.entry), 0) for write in kept.plan.writes)
        results = Results(counts=counts, after=after, outcomes=outcomes)
        key = self.keys.results(self.number, kept.plan.first)
        await drive(put_once(key, results.encode(), until=self.standing.until), self.place.objects)
        return results

    async def _write(self, write: PlannedWrite, item: Item, base: Base | None) -> Once:
        """Writes one resource once; a few times, if it is not known whether it was written, or others are quicker."""
        keys = self.place.keys.resource(item.type, item.id)
        token = self.tokens.line(self.number, write.line, write.entry)
        decide = decision(item, self.rules)
        for n in range(_TRIES):
            protocol = write_once(
                keys, decide, token, clean=write.before, context=self.standing.context, base=None if n else base
            )
            try:
                done = await self.engine.run(
                    self.place, protocol, locks=(keys.current,), heavy=item.size > LARGE or item.patch is not None
                )
            except _PASSING:
                self.engine.remembered.forget(self.place.tenant, keys.current)
                if n == _TRIES - 1:
                    raise
                await asyncio.sleep(_PAUSE * 2**n)
            else:
                if done.result is not None:
                    self.engine.saw(self.place, keys, done.result)
                return done
        raise AssertionError  # the loop returns or raises

    def _kind(self, done: Once) -> str:
        if done.version:
            return "deleted" if done.deleted else "created" if done.created else "updated"
        return "existing" if self.rules.mode == "create-only" else "unchanged"

    async def _read(
        self, body: bytes, first: int, too_long: tuple[int, ...] | list[int]
    ) -> tuple[list[tuple[int, Item]], list[LineOutcome], int]:
        """Returns the writes of a segment's lines, what is to be told of them, and how many lines there are."""
        items: list[tuple[int, Item]] = []
        outcomes = [LineOutcome(line, "", (_TOO_LONG,)) for line in too_long]
        lines, pacer = len(outcomes), self.standing.pacer
        for line, content in numbered(body, first):
            lines += 1
            if lines % _TOGETHER == 0:
                await pacer.turn()
            began = pacer.clock()
            try:
                read: Read = await offload_if(
                    len(content) > LARGE or self.rules.validator.level == "full",
                    read_line,
                    content,
                    self.rules,
                    type=self.file.type,
                    deleted=self.file.deleted,
                    organized=self.organized,
                )
            except Refused as refused:
                outcomes.append(_outcome(line, refused.source, refused.issues))
                continue
            finally:
                pacer.spend(began)
            items += [(line, item) for item in read.items]
            if read.notes:
                outcomes.append(_outcome(line, read.items[0].source if read.items else "", read.notes))
        return items, outcomes, lines

    async def _bases(self, items: list[Item]) -> dict[tuple[str, str], Base]:
        """Returns `current.json` of every resource, without its content. 1 GET each."""
        bases: dict[tuple[str, str], Base] = {}
        wanted = list(dict.fromkeys((item.type, item.id) for item in items))

        async def look(name: tuple[str, str]) -> None:
            keys = self.place.keys.resource(*name)
            base = await drive(base_for(keys, self.standing.context), self.place.objects)
            record = base.record
            if record is not None and record.resource:
                record = replace(record, resource=without_the_rest(record.resource), sha256=None)
            bases[name] = Base(record, base.etag, whole=False)

        await each(wanted, look, at_once=self.at_once, pacer=self.standing.pacer)
        return bases


_TOO_LONG = LineIssue("error", "too-long", "The line is longer than the server reads")


def _chains(items: tuple[tuple[PlannedWrite, Item], ...]) -> Iterator[list[tuple[PlannedWrite, Item]]]:
    """Yields the writes of each resource, in the order of the lines."""
    chains: dict[tuple[str, str], list[tuple[PlannedWrite, Item]]] = {}
    for write, item in items:
        chains.setdefault((write.type, write.id), []).append((write, item))
    yield from chains.values()


def _outcome(line: int, source: str, issues: tuple[Issue, ...]) -> LineOutcome:
    return LineOutcome(line, source, tuple(LineIssue.of(issue) for issue in issues[:50]))
