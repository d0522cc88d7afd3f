"""A transaction: all entries or none, at one instant.

1. Every entry is checked, and the criteria of the conditional ones are looked up; ids are assigned.
2. Links between entries are rewritten, references by search resolved.
3. Reads are tried, since one that fails fails the whole; what they will find of this transaction's own doing is known.
4. All writes are committed at one instant (fhirstore/commit/transaction.py). Nothing is written before that.
5. Reads are done, and see the state after the writes. One that fails only now, because others wrote in between, has
   its error in its place.

Where what a conditional entry matched is gone when it is to be written, all starts over from 1.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fhirstore import json, resources
from fhirstore.bundles.conditions import if_match, if_none_match
from fhirstore.bundles.entries import Entry
from fhirstore.bundles.linking import Linking
from fhirstore.bundles.lookup import Answers, Question, look_up
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.order import refuse_overlaps, refuse_same_full_urls
from fhirstore.bundles.perform import Performer
from fhirstore.bundles.plan import Planned, criteria_of, plan_entry
from fhirstore.bundles.receipts import AlreadyDone, Line, digest, read_receipt, receipt_keys, writing
from fhirstore.bundles.results import Result, blame, refuse_more_reading
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look, vread
from fhirstore.commit.single import Decide, Draft, Outcome
from fhirstore.commit.transaction import Part
from fhirstore.definitions.facts import Definitions
from fhirstore.engine import Engine
from fhirstore.errors import Contention, FhirError, FhirStoreError, Gone, InvalidResource, NotFound, Unsupported
from fhirstore.record import Record
from fhirstore.resources import Version
from fhirstore.tenancy import Place

_ATTEMPTS = 8


class Moved(Exception):
    """What a conditional entry matched is not there any more."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Runs one transaction in `place`. `perform` does its reads."""

    engine: Engine
    place: Place
    perform: Performer
    definitions: Definitions
    options: BundleOptions

    async def run(self, bundle: json.JsonObject, parsed: Sequence[Entry | FhirError]) -> tuple[Result, ...]:
        """The results of all entries, in their order. Raises what any of them raises, with its place."""
        entries = _readable(parsed)
        refuse_same_full_urls(entries)
        body = None if self.options.idempotency_key is None else digest(bundle)
        linking = Linking(entries, self.definitions)
        for _ in range(_ATTEMPTS):
            if body is not None and (done := await self._done_before(entries, body)) is not None:
                return done
            try:
                return await self._once(entries, linking, body)
            except (Moved, AlreadyDone):
                continue
        raise Contention("Others kept writing what this transaction's criteria match; nothing was written, try again")

    async def _once(self, entries: Sequence[Entry], linking: Linking, body: str | None) -> tuple[Result, ...]:
        writes = [entry for entry in entries if entry.writes]
        asked = [*_questions(writes), *linking.questions()]
        answers = await look_up(self.place, asked, at_once=self.options.at_once)
        planned = self._plan(writes, answers)
        refuse_overlaps((plan.entry, plan.type, plan.id) for plan in planned if plan.writes and plan.id is not None)
        linking.resolve(planned, answers)
        reads = [entry for entry in entries if not entry.writes]
        results = await self._tried(reads, planned)
        if any(plan.writes for plan in planned) or body is not None:
            results = await self._commit(entries, planned, body)
            results |= await self._read(reads)
        results |= {plan.entry.index: Result(plan.entry, plan.found) for plan in planned if not plan.writes}
        return tuple([results[entry.index] for entry in entries])

    def _plan(self, entries: Sequence[Entry], answers: Answers) -> list[Planned]:
        """Every entry that writes, with its id."""
        deleted = {(entry.type, entry.id) for entry in entries if entry.interaction == "delete"}
        planned: list[Planned] = []
        for entry in entries:
            try:
                planned.append(plan_entry(entry, _matches(entry, answers, deleted), self.engine.ids.new))
            except FhirError as error:
                raise blame(error, entry.place) from None
        _refuse_equal_creates(planned)
        return planned

    # --- writing --------------------------------------------------------------------------------------------

    async def _commit(
        self, entries: Sequence[Entry], planned: Sequence[Planned], body: str | None
    ) -> dict[int, Result]:
        lines: list[Line] = [None] * len(entries)
        for plan in planned:
            if plan.found is not None:
                lines[plan.entry.index] = (plan.type, plan.found.id, plan.found.version_id, False)
        writes = [plan for plan in planned if plan.writes]
        parts = [self._part(plan, lines) for plan in writes]
        if body is not None:
            keys = receipt_keys(self.place.keys, self.place.tenant, self.options.idempotency_key or "")
            parts.append(Part(keys, writing(keys.id, body, lines), fresh=True))
        outcomes = await self.engine.transact(self.place, parts)
        return {plan.entry.index: _result(plan, outcome) for plan, outcome in zip(writes, outcomes, strict=False)}

    def _part(self, plan: Planned, lines: list[Line]) -> Part:
        assert plan.id is not None  # noqa: S101 - it writes
        keys = self.place.keys.resource(plan.type, plan.id)
        return Part(keys, _noting(plan, self._decide(plan, plan.id), lines), fresh=plan.fresh)

    def _decide(self, plan: Planned, id_: str) -> Decide:
        entry = plan.entry
        match entry.interaction:
            case "delete":
                return resources.deletion(if_match(entry))
            case "patch":
                raise Unsupported("Patch is not implemented", expression=entry.at("method"))
            case "create":
                return resources.creation(_builder(entry, id_))
            case _:
                skip = self.options.skip_unchanged
                conditions = if_match(entry), if_none_match(entry)
                return resources.update(
                    _builder(entry, id_), conditions[0], if_none_match=conditions[1], skip_unchanged=skip
                )

    # --- reading --------------------------------------------------------------------------------------------

    async def _tried(self, reads: Sequence[Entry], planned: Iterable[Planned]) -> dict[int, Result]:
        """What the reads find before the writes. Raises what would fail after them as well."""
        written = {(plan.type, plan.id): plan for plan in planned if plan.writes}
        results: dict[int, Result] = {}
        untouched = []
        for entry in reads:
            plan = written.get((entry.type or "", entry.id))
            if plan is None:
                untouched.append(entry)
            elif plan.entry.interaction == "delete" and entry.interaction == "read":
                raise blame(Gone("This transaction deletes the resource", version=0), entry.place)
        for index, result in (await self._read(untouched)).items():
            if isinstance(result.error, FhirError):
                raise blame(result.error, f"Bundle.entry[{index}]")
            if result.error is not None:
                raise result.error
            results[index] = result
        return results

    async def _read(self, reads: Sequence[Entry]) -> dict[int, Result]:
        """The results of entries that read, errors included."""
        results: dict[int, Result] = {}
        waiting = iter(reads)
        size = 0

        async def some() -> None:
            nonlocal size
            for entry in waiting:
                try:
                    refuse_more_reading(size, self.options.max_read)
                    results[entry.index] = done = await self.perform(entry)
                    size += done.read
                except FhirError as error:
                    results[entry.index] = Result(entry, error=blame(error, entry.place))
                except FhirStoreError as error:
                    results[entry.index] = Result(entry, error=error)

        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self.options.at_once, len(reads))):
                workers.create_task(some())
        return results

    # --- once per Idempotency-Key ---------------------------------------------------------------------------

    async def _done_before(self, entries: Sequence[Entry], body: str) -> tuple[Result, ...] | None:
        """The answer to the first transaction with this Idempotency-Key, if there was one."""
        keys = receipt_keys(self.place.keys, self.place.tenant, self.options.idempotency_key or "")
        base, _ = await drive(look(keys), self.place.objects)
        if base.shown is None or base.shown.resource is None:
            return None
        receipt = read_receipt(base.shown.resource, body, keys.current)
        results = await self._read([entry for entry in entries if not entry.writes])
        for entry, line in zip(entries, receipt.entries, strict=True):
            if entry.writes:
                results[entry.index] = Result(entry) if line is None else await self._again(entry, line)
        return tuple([results[entry.index] for entry in entries])

    async def _again(self, entry: Entry, line: tuple[str, str, int, bool]) -> Result:
        type_, id_, version, created = line
        protocol = vread(self.place.keys.resource(type_, id_), version, rules=self.engine.rules)
        record = await drive(protocol, self.place.objects)
        if record is None:
            return Result(entry, error=NotFound("What this entry wrote was purged", expression=(entry.place,)))
        return Result(entry, resources.version_of(type_, id_, record, created=created))


def _readable(parsed: Sequence[Entry | FhirError]) -> list[Entry]:
    """Raises all that is wrong with any entry, together."""
    wrong = [error for error in parsed if not isinstance(error, Entry)]
    entries = [entry for entry in parsed if isinstance(entry, Entry)]
    for entry in entries:
        try:
            if_match(entry)
            if_none_match(entry)
        except FhirError as error:
            wrong.append(error)
    if wrong:
        wrong[0].issues = tuple([issue for error in wrong for issue in error.issues])
        raise wrong[0]
    return entries


def _questions(entries: Iterable[Entry]) -> Iterator[Question]:
    for entry in entries:
        if (criteria := criteria_of(entry)) is not None and entry.type is not None:
            yield entry.type, criteria


def _matches(entry: Entry, answers: Answers, deleted: Container[tuple[str | None, str | None]]) -> list[Version]:
    """What a conditional entry matches. A create looks at what the transaction leaves: deletes come before it."""
    criteria = criteria_of(entry)
    if criteria is None or entry.type is None:
        return []
    found = answers[entry.type, criteria]
    if isinstance(found, FhirStoreError):
        raise found
    if entry.interaction != "create":
        return list(found.matches)
    return [match for match in found.matches if (match.type, match.id) not in deleted]


def _refuse_equal_creates(planned: Iterable[Planned]) -> None:
    """Two creates with one condition that nothing meets yet: after the first, the second would have a match."""
    first: dict[tuple[str, str], Entry] = {}
    for plan in planned:
        criteria = plan.entry.if_none_exist
        if criteria is not None and plan.writes:
            earlier = first.setdefault((plan.type, criteria), plan.entry)
            if earlier is not plan.entry:
                where = (*plan.entry.at("ifNoneExist"), *earlier.at("ifNoneExist"))
                raise InvalidResource("Two entries create on the same condition", code="duplicate", expression=where)


def _builder(entry: Entry, id_: str) -> Callable[[int, int], bytes]:
    content = entry.resource
    assert content is not None  # noqa: S101 - POST and PUT have one
    return lambda version, t: json.with_identity(content, id=id_, version=version, last_updated=t)


def _noting(plan: Planned, decide: Decide, lines: list[Line]) -> Decide:
    """The same, its errors with their place; what it comes to is noted in `lines`."""
    index, type_, id_ = plan.entry.index, plan.type, plan.id or ""
    matched = not plan.fresh and plan.entry.id is None and criteria_of(plan.entry) is not None

    def noting(current: Record | None) -> Draft | None:
        if matched and plan.entry.interaction != "update" and (current is None or current.deleted):
            raise Moved
        try:
            draft = decide(current)
        except FhirError as error:
            raise blame(error, plan.entry.place) from None
        version = 0 if current is None else current.version
        if draft is None:
            lines[index] = (type_, id_, version, False) if version else None
            return None
        if draft.build is None:
            lines[index] = (type_, id_, version + 1, False)
            return draft
        build, created = draft.build, current is None or current.deleted

        def noted(version: int, t: int) -> bytes:
            lines[index] = (type_, id_, version, created)
            return build(version, t)

        return Draft(draft.method, noted)

    return noting


def _result(plan: Planned, outcome: Outcome) -> Result:
    if outcome.record is None:
        return Result(plan.entry)
    before = outcome.before
    created = outcome.applied and plan.entry.interaction != "delete" and (before is None or before.deleted)
    return Result(plan.entry, resources.version_of(plan.type, plan.id or "", outcome.record, created=created))
