"""The guard of a transaction with conditional creates: takes its claims, all concurrently, before each attempt.

The claims contain the transaction's id. Another writer that needs one of them first makes sure that the transaction is
decided. When all claims are held, the search is repeated; if it finds a match, the transaction must be planned again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.batched import batched
from fhirstore.commit.claim import Claim, Held, release, take
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import FhirStoreError
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Intent
from fhirstore.search.conditional.candidates import find
from fhirstore.search.conditional.identifying import Criteria


class Matched(FhirStoreError):
    """Criteria without a match have one now: plan again. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The transaction creates `id`, because only resources that it deletes itself (`besides`) meet the criteria.

    `version`: the version id that it will have; 0 where that is unknown, since the client chose the id.
    """

    criteria: Criteria
    id: str
    besides: frozenset[str] = frozenset()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Exclusive:
    """The guard of a transaction (`commit.transaction.Guard`)."""

    keys: Keyspace
    wanted: Sequence[Wanted]
    context: Context

    @property
    def names(self) -> tuple[str, ...]:
        """The keys of all claims, sorted, by which the writers of one process wait for each other."""
        return tuple(sorted(self.keys.identity_claim(type_, value) for type_, value in self._claims()))

    def __call__(self, intent: Intent) -> Protocol[None]:
        """Takes all claims, then searches again. Raises Matched, Contention, Unavailable, CorruptRecord."""
        held: list[Held] = []
        for some in batched(list(self._claims().items()), self.context.limits.at_once):
            taken = yield from side_by_side([self._take(type_, value, one, intent) for (type_, value), one in some])
            held += taken
        for some_wanted in batched(self.wanted, self.context.limits.at_once):
            found = yield from side_by_side(
                [find(self.keys, one.criteria, most=1 + len(one.besides)) for one in some_wanted]
            )
            for one, matches in zip(some_wanted, found, strict=True):
                if any(match.keys.id not in one.besides for match in matches):
                    yield from side_by_side([release(claim, context=self.context) for claim in held])
                    raise Matched("Criteria without a match have one now")

    def _claims(self) -> dict[tuple[str, str], Wanted]:
        """Returns (type, value) -> what is created for it, one of them if there are several."""
        return {(one.criteria.type or "", value): one for one in self.wanted for value in one.criteria.values}

    def _take(self, type: str, value: str, wanted: Wanted, intent: Intent) -> Protocol[Held]:
        claim = Claim(self.context.ids.new(), wanted.id, v=wanted.version, intent=intent)
        held = None
        while held is None:
            held = yield from take(self.keys, type, value, claim, context=self.context, insist=True)
        return held
