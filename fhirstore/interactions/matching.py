"""Runs the conditional interactions of `conditional.py` on one tenant, and remembers the versions they made.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Protocol
from fhirstore.commit.single import Decide, Draft
from fhirstore.engine import Engine
from fhirstore.errors import FhirStoreError, MultipleMatches, WriteOutcomeUnknown
from fhirstore.format.record import Record
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.interactions import resources
from fhirstore.interactions.conditional import DecideFor, Done, change_matching, create_unless, update_matching
from fhirstore.interactions.preconditions import Preconditions
from fhirstore.search.conditional.candidates import Match, find_or_be_sure
from fhirstore.search.conditional.condition import Indexed, parse_condition
from fhirstore.search.conditional.consulting import lookups
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.search.criteria.limits import Limits
from fhirstore.search.criteria.parameters import Parameters, query_of
from fhirstore.search.criteria.terminology import Stored
from fhirstore.tenancy import Place
from fhirstore.version import Version, version_of

MOST_DELETED = 250
_AT_ONCE = 16
_Result = TypeVar("_Result")


class Matching:
    """Conditional interactions. Each raises MultipleMatches, and as the write itself."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place

    def condition(
        self, type: str, criteria: Parameters, *, limits: Callable[[Catalogue], Limits], stored: Stored
    ) -> Criteria:
        """Reads criteria like `identifier=system|value`. `limits`: what they may find, where an index is searched.

        `stored`: reads value sets and code systems. Raises InvalidResource, Unsupported.
        """
        release = self._engine.validator.definitions.release

        def indexed() -> Indexed:
            indexer, now = self._engine.indexer(self._place), self._place.objects.now()
            catalogue = indexer.catalogue
            return Indexed(catalogue, now, lookups(indexer, limits(catalogue), stored=stored, now=now))

        return parse_condition(type, query_of(criteria), release=release, indexed=indexed)

    async def create(self, condition: Criteria, decide_for: DecideFor, *, heavy: bool = False) -> Version:
        """Returns the match; without one, creates what `decide_for` its new id makes. `heavy`: as of `drive`."""
        context = self._engine.context(self._place)
        protocol = create_unless(self._place.keys, condition, decide_for, context=context)
        return shown(await self._run(condition, protocol, heavy=heavy))

    async def update(
        self, condition: Criteria, decide_for: DecideFor, *, id: str | None, under_id: bool = True, heavy: bool = False
    ) -> Version:
        """Makes the next version of the match; without one, the first version under `id`, or under a new id.

        `under_id`: whether it may be created under `id`.
        """
        context = self._engine.context(self._place)
        protocol = update_matching(self._place.keys, condition, decide_for, id=id, under_id=under_id, context=context)
        return shown(await self._run(condition, protocol, heavy=heavy))

    async def change(self, condition: Criteria, decide: Decide, *, heavy: bool = False) -> Done | None:
        """Writes the next version of the match; returns None without one."""
        protocol = change_matching(self._place.keys, condition, decide, context=self._engine.context(self._place))
        return await self._run(condition, protocol, heavy=heavy)

    async def delete_all(
        self, condition: Criteria, preconditions: Preconditions, *, changing: Callable[[Decide], Decide]
    ) -> tuple[Version, ...]:
        """Deletes all matches, each on its own, if it still matches then. Returns the tombstones.

        `changing`: restricts the decision to what may be deleted.

        1 LIST, then 2 GET + 4 PUT for each match. Raises MultipleMatches where more than `MOST_DELETED` match, or
        several match and the preconditions are about a version (nothing was deleted); WriteOutcomeUnknown where only
        some were deleted.
        """
        looking = find_or_be_sure(self._place.keys, condition, most=MOST_DELETED + 1, with_base=False)
        matches = await drive(looking, self._place.objects)
        if len(matches) > MOST_DELETED:
            raise MultipleMatches(f"More than {MOST_DELETED} resources match; nothing was deleted, be more selective")
        if len(matches) > 1 and preconditions.name_a_version:
            raise MultipleMatches("If-Match and the like are about one version, but several resources match")
        delete = changing(resources.deletion(preconditions))
        semaphore = asyncio.Semaphore(_AT_ONCE)

        async def one(match: Match) -> Version | None:
            known = condition.knowing(match.keys.id, match.version)

            def decide(current: Record | None) -> Draft | None:
                matching = known.match(match.keys.type, match.keys.id, current)
                return delete(current) if matching else None

            async with semaphore:
                outcome = await self._engine.commit(self._place, match.keys, decide, by_content=True)
            done = outcome.record if outcome.applied else None
            return None if done is None else version_of(match.keys.type, match.keys.id, done)

        results = await asyncio.gather(*map(one, matches), return_exceptions=True)
        deleted = tuple([result for result in results if isinstance(result, Version)])
        for error in results:
            if isinstance(error, FhirStoreError) and deleted:
                told = f"{len(deleted)} of {len(matches)} matches were deleted, of others it is not known; ask again"
                raise WriteOutcomeUnknown(told) from error
            if isinstance(error, BaseException):
                raise error
        return deleted

    async def _run(self, condition: Criteria, protocol: Protocol[_Result], *, heavy: bool) -> _Result:
        locks = [self._place.keys.identity_claim(condition.type or "", value) for value in condition.values]
        done = await self._engine.run(self._place, protocol, locks=locks, heavy=heavy)
        if isinstance(done, Done):
            self._engine.saw(self._place, done.keys, done.outcome)
        return done


def shown(done: Done) -> Version:
    """Returns the version that was written or found."""
    assert done.outcome.record is not None  # noqa: S101 - what was found, or made
    return version_of(done.keys.type, done.keys.id, done.outcome.record, created=done.outcome.created)
