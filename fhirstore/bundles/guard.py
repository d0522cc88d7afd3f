"""A transaction that creates on conditions: its claims, all at once, before each of its attempts.

They name the attempt, by its transaction's id: whoever wants one of these claims sees to it that the transaction is
decided. When all are held, one looks again; what matches now was not there when the transaction was planned, and so it
must be planned anew.
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
from fhirstore.search.candidates import find
from fhirstore.search.criteria import Criteria


class Matched(FhirStoreError):
    """Something matches by now what nothing matched before: plan again. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The transaction creates `id`, because nothing meets the criteria but what it deletes itself (`besides`).

    `version`: that it will be, for an id that was just made up; 0 where it is not known, since the client chose the id.
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
        """The keys of all claims, sorted: those of one process may take turns by them."""
        return tuple(sorted(self.keys.identity_claim(type_, value) for type_, value in self._claims()))

    def __call__(self, intent: Intent) -> Protocol[None]:
        """Claim everything, then look again. Raises Matched, Contention, Unavailable, CorruptRecord."""
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
                    raise Matched("A condition that was met is met no more")

    def _claims(self) -> dict[tuple[str, str], Wanted]:
        """(type, value) -> what is created for it, one of them if there are several."""
        return {(one.criteria.type or "", value): one for one in self.wanted for value in one.criteria.values}

    def _take(self, type: str, value: str, wanted: Wanted, intent: Intent) -> Protocol[Held]:
        claim = Claim(self.context.ids.new(), wanted.id, v=wanted.version, intent=intent)
        held = None
        while held is None:
            held = yield from take(self.keys, type, value, claim, context=self.context, insist=True)
        return held
