"""A transaction: all entries or none, atomically.

1. Every entry is checked; the matches of conditional entries are found; ids are assigned.
2. Links between entries are rewritten, references by search are resolved.
3. Reads are tried, since a read that fails makes the transaction fail. Of resources that the transaction writes it is
   known what they will find.
4. All writes are committed at one commit point (fhirstore/commit/transaction.py). Nothing is written before.
5. Reads are repeated, and see the state after the writes. A read that fails only now, because of other writers, has its
   error as its result.

If the match of a conditional entry is gone in step 4, everything starts over from step 1.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from msgspec.structs import replace

from fhirstore.bundles.conditional import created_once, plan_all, questions, refuse_two_of_one, wanted
from fhirstore.bundles.entries import Entry
from fhirstore.bundles.entry_writes import Moved, part_of, result_of
from fhirstore.bundles.guard import Exclusive, Matched
from fhirstore.bundles.idempotency import Once
from fhirstore.bundles.linking import Linking
from fhirstore.bundles.lookup import Answers, Condition, look_up
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.order import refuse_overlaps, refuse_same_full_urls
from fhirstore.bundles.pending_resources import Written
from fhirstore.bundles.perform import Performer
from fhirstore.bundles.plan import Planned, refuse_unmet_links
from fhirstore.bundles.preconditions import preconditions
from fhirstore.bundles.receipts import AlreadyDone, Line, Receipt, writing
from fhirstore.bundles.restriction import Restriction
from fhirstore.bundles.results import Result, blame, failed, refuse_more
from fhirstore.bundles.workers import side_by_side
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look
from fhirstore.commit.transaction import Part
from fhirstore.engine import Engine
from fhirstore.errors import Contention, FhirError, FhirStoreError, Gone, Unsupported
from fhirstore.fhir.validation.integrity import not_there, refuse_dangling, relative_references
from fhirstore.interactions.attachments import Taken, take_out, with_binaries
from fhirstore.tenancy import Place
from fhirstore.threads import offload_if
from fhirstore.version import Version

_ATTEMPTS = 8
_READ_ONLY = frozenset({"metadata", "_search", "$validate", "$everything", "$lastn"})
_FEW = 32  # entries that are read or validated in no time
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Transaction:
    """Runs one transaction in `place`. `perform`: processes its reads. `condition`: reads criteria. `once`: of its
    Idempotency-Key, if any."""

    engine: Engine
    place: Place
    perform: Performer
    options: BundleOptions
    condition: Condition
    once: Once | None = None
    large: bool = False
    taken: dict[int, list[Taken]] = field(default_factory=dict)  # data of attachments, by the entry that brought it
    restriction: Restriction = field(default_factory=Restriction)

    async def run(self, parsed: Sequence[Entry | FhirError]) -> tuple[Result, ...]:
        """Returns the results of all entries, in their order. Raises what any of them raises, with its place."""
        entries = _readable(parsed)
        self.restriction.require(entries)
        refuse_same_full_urls(entries)
        definitions = self.engine.validator.definitions
        linking = await self._beside_the_loop(len(entries), Linking, entries, definitions)
        for _ in range(_ATTEMPTS):
            if self.once is not None and (receipt := await self.once.receipt()) is not None:
                return await self._replayed(entries, receipt, self.once)
            try:
                return await self._attempt(entries, linking)
            except (Moved, Matched, AlreadyDone):
                continue
        raise Contention("Others kept writing what this transaction's criteria match; nothing was written, try again")

    async def _attempt(self, entries: Sequence[Entry], linking: Linking) -> tuple[Result, ...]:
        writes = [entry for entry in entries if entry.writes]
        asked = [*questions(writes), *linking.questions()]
        besides = Counter(entry.type for entry in writes if entry.type and entry.interaction in ("update", "delete"))
        answers = await look_up(
            self.place,
            asked,
            besides=besides,
            options=self.options,
            condition=self.condition,
        )
        planned = await self._beside_the_loop(len(entries), self._plan, writes, linking, answers)
        await self._check(planned)
        if self.engine.externalize_attachments:
            await self._beside_the_loop(len(entries), self._take_attachments, planned)
        reads = [entry for entry in entries if not entry.writes]
        results = await self._tried(reads, planned)
        if any(plan.writes for plan in planned) or self.once is not None:
            results = await self._commit(entries, planned, linking)
            results |= await self._read(reads)
        for plan in planned:
            if plan.same_as is not None:
                results[plan.entry.index] = Result(plan.entry, _as_it_is(results[plan.same_as].version))
            elif not plan.writes:
                results[plan.entry.index] = Result(plan.entry, plan.found)
        return tuple([results[entry.index] for entry in entries])

    def _plan(self, writes: Sequence[Entry], linking: Linking, answers: Answers) -> list[Planned]:
        """Returns the resource that each of these entries writes; rewrites the links of all. Raises FhirError."""
        planned = plan_all(writes, answers, self.engine.ids.new)
        self.restriction.require_plans(planned)
        if any(plan.criteria is not None and plan.criteria.also for plan in planned):
            linking.resolve_full_urls(planned)
        written = Written(planned if answers else ())
        planned = created_once(planned, written)
        if any(plan.same_as is not None for plan in planned):
            written = Written(planned)
        refuse_overlaps((plan.entry, plan.type, plan.id) for plan in planned if plan.writes and plan.id is not None)
        refuse_two_of_one(planned, written)
        linking.resolve(planned, written, answers)
        refuse_unmet_links(planned)
        return planned

    async def _check(self, planned: Sequence[Planned]) -> None:
        """Validates what is written; many entries in a thread. Raises the issues of all entries in one error."""
        to_check = [plan.entry for plan in planned if plan.entry.interaction in ("create", "update")]
        await self._beside_the_loop(len(to_check), self._check_all, to_check)
        if self.engine.reference_integrity:
            await self._check_references(planned)

    async def _check_references(self, planned: Sequence[Planned]) -> None:
        """Raises for a reference to a resource that will not exist after the transaction. References that patches add
        are not checked."""
        gone = {(plan.type, plan.id) for plan in planned if plan.entry.interaction == "delete"}
        brought = {(plan.type, plan.id) for plan in planned if plan.id is not None} - gone
        definitions = self.engine.validator.definitions
        written = [plan.entry for plan in planned if plan.writes and plan.entry.interaction in ("create", "update")]
        references = [relative_references(definitions, entry.resource or {}) for entry in written]

        async def exists(type: str, id: str) -> bool:
            if (type, id) in gone:
                return False
            base, _ = await drive(look(self.place.keys.resource(type, id)), self.place.objects)
            return self.restriction.exists(type, base.shown)

        asked = [at for found in references for at in found if at not in brought]
        missing = await not_there(asked, exists)
        wrong: list[FhirError] = []
        for entry, found in zip(written, references, strict=True):
            try:
                refuse_dangling(found, missing)
            except FhirError as error:
                wrong.append(blame(error, entry.place))
        _raise_together(wrong)

    def _check_all(self, entries: Iterable[Entry]) -> None:
        wrong: list[FhirError] = []
        for entry in entries:
            try:
                self.engine.validator.check(entry.resource or {})
            except FhirError as error:
                wrong.append(blame(error, entry.place))
        _raise_together(wrong)

    # --- writing --------------------------------------------------------------------------------------------

    async def _commit(
        self, entries: Sequence[Entry], planned: Sequence[Planned], linking: Linking
    ) -> dict[int, Result]:
        lines: list[Line] = [None] * len(entries)
        for plan in planned:
            if plan.found is not None:
                lines[plan.entry.index] = (plan.type, plan.found.id, plan.found.version_id, False)
            elif plan.same_as is not None and plan.id is not None:
                lines[plan.entry.index] = (plan.type, plan.id, 1, False)
        writes = [plan for plan in planned if plan.writes]
        parts = await self._beside_the_loop(len(writes), self._parts, writes, lines, linking)
        if self.once is not None:
            keys = self.once.keys
            parts.append(Part(keys, writing(keys.id, self.once.body, lines), fresh=True))
        heavy = self.large or len(parts) > _FEW or any(plan.entry.interaction == "patch" for plan in writes)
        guard = Exclusive(self.place.keys, wanted(planned), self.engine.context(self.place))
        if guard.wanted:
            outcomes = await self.engine.transact(self.place, parts, guard=guard, locks=guard.names, heavy=heavy)
        else:
            outcomes = await self.engine.transact(self.place, parts, heavy=heavy)
        return {
            plan.entry.index: result_of(plan, outcome, quiet=self.restriction.is_quiet(plan))
            for plan, outcome in zip(writes, outcomes, strict=False)
        }

    def _parts(self, writes: Sequence[Planned], lines: list[Line], linking: Linking) -> list[Part]:
        skip, validator, keys = self.options.skip_unchanged, self.engine.validator, self.place.keys
        parts, binaries = [], []
        for plan in writes:
            part = part_of(
                plan,
                keys,
                lines,
                validator=validator,
                patch=linking.patch,
                restriction=self.restriction,
                skip_unchanged=skip,
            )
            if taken := self.taken.get(plan.entry.index):
                unchanged = skip and plan.entry.method == "PUT"
                part, *more = with_binaries(part, taken, keys, unchanged=unchanged)
                binaries += more
            parts.append(part)
        return parts + binaries

    def _take_attachments(self, planned: Sequence[Planned]) -> None:
        """Takes long data out of the attachments of what is written, once: an entry keeps it when all starts over."""
        definitions, above = self.engine.validator.definitions, self.engine.limits.inline_bytes
        for plan in planned:
            entry = plan.entry
            stores = plan.writes and entry.interaction in ("create", "update")
            if stores and entry.resource is not None and entry.index not in self.taken:
                self.taken[entry.index] = take_out(entry.resource, definitions, above=above)

    async def _beside_the_loop(self, count: int, do: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Returns what `do` returns; in a thread where it concerns many entries or large ones."""
        return await offload_if(self.large or count > _FEW, do, *args, **kwargs)

    # --- reading --------------------------------------------------------------------------------------------

    async def _tried(self, reads: Sequence[Entry], planned: Iterable[Planned]) -> dict[int, Result]:
        """Returns what the reads find before the writes. Raises where a read would fail after the writes, too."""
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
        """Returns the results of entries that read, errors included."""
        results: dict[int, Result] = {}
        size = 0
        self.perform.read_anew()

        async def result(entry: Entry) -> None:
            nonlocal size
            try:
                refuse_more(size, self.options.max_read)
                results[entry.index] = done = await self.perform(entry)
                size += done.brought
            except FhirStoreError as error:
                results[entry.index] = failed(entry, error)

        await side_by_side(reads, result, at_once=min(self.options.at_once, len(reads)))
        return results

    async def _replayed(self, entries: Sequence[Entry], receipt: Receipt, once: Once) -> tuple[Result, ...]:
        """Returns the results of the first transaction with this Idempotency-Key; its reads are repeated."""
        results = await self._read([entry for entry in entries if not entry.writes])
        for entry, line in zip(entries, receipt.entries, strict=True):
            if entry.writes:
                results[entry.index] = await once.replayed(entry, line)
        return tuple([results[entry.index] for entry in entries])


def _readable(parsed: Sequence[Entry | FhirError]) -> list[Entry]:
    """Returns the entries. Raises the issues of all that cannot be read, in one error."""
    wrong = [error for error in parsed if not isinstance(error, Entry)]
    entries = [entry for entry in parsed if isinstance(entry, Entry)]
    for entry in entries:
        try:
            _refuse_operation(entry)
            preconditions(entry)
        except FhirError as error:
            wrong.append(error)
    _raise_together(wrong)
    return entries


def _refuse_operation(entry: Entry) -> None:
    """Raises Unsupported for an operation that might write: it could not be undone if the transaction fails."""
    if entry.interaction == "operation" and entry.path.rpartition("/")[2] not in _READ_ONLY:
        raise Unsupported(
            "This operation cannot be part of a transaction here; call it on its own", expression=entry.at("url")
        )


def _as_it_is(version: Version | None) -> Version | None:
    """Returns the version that another entry created, as found by this one."""
    return None if version is None else replace(version, created=False)


def _raise_together(wrong: Sequence[FhirError]) -> None:
    """Raises the first error, with the issues of all."""
    if wrong:
        wrong[0].issues = tuple([issue for error in wrong for issue in error.issues])
        raise wrong[0]
