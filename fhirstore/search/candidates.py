"""Finds the resources that meet criteria, by their ids or by the identity index.

The index is a superset: an entry says that some version was to have the identifier. So each candidate's current version
is read and checked. A search also removes the entries that turn out to be dead (`fhirstore.index.dead`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.messages import Delete, Protocol
from fhirstore.commit.reading import look
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import Contention
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.index.dead import dead_entries
from fhirstore.search.criteria import Criteria
from fhirstore.search.entries import AllOf, AnyOf, Candidate, Entries, Given, Source

_AT_ONCE = 32
_MOST_REMOVED = 1_000
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that meets the criteria, with its `base` as read."""

    keys: ResourceKeys
    base: Base


@dataclass(slots=True)
class Candidates:
    """Candidates in order. `others`: those that did not match: id -> op token of the current version, if any."""

    keys: Keyspace
    criteria: Criteria
    source: Source
    others: dict[str, str | None] = field(default_factory=dict)
    _peeked: Candidate | None = None

    def next(self, count: int) -> Protocol[list[Candidate]]:
        """Returns the next `count` candidates, or fewer at the end. Raises Unavailable."""
        found = [self._peeked] if self._peeked is not None else []
        self._peeked = None
        while len(found) < count and (one := (yield from self.source.next())) is not None:
            found.append(one)
        return found

    def more(self) -> Protocol[bool]:
        """Returns whether there is another candidate. Raises Unavailable."""
        if self._peeked is None:
            self._peeked = yield from self.source.next()
        return self._peeked is not None

    def matching(self, some: Sequence[Candidate]) -> Protocol[list[Match]]:
        """Returns those that match. 1 GET each, in parallel; 1 DELETE for dead entries. Raises Unavailable,
        CorruptRecord."""
        type_ = self.criteria.type or ""
        matches: list[Match] = []
        dead: list[str] = []
        for group in batched(some, _AT_ONCE):
            resources = [self.keys.resource(type_, one.id) for one in group]
            looks = yield from side_by_side([look(keys) for keys in resources])
            for one, keys, (base, _) in zip(group, resources, looks, strict=True):
                if self.criteria.match(type_, keys.id, base.shown):
                    matches.append(Match(keys, base))
                else:
                    self.others[keys.id] = None if base.shown is None else base.shown.op
                dead += [
                    keys.index_entry(old.name, old.version)
                    for old in dead_entries(one.entries, base.shown, version=base.version, type=type_)
                ]
        if dead:
            yield (Delete(tuple(dead[:_MOST_REMOVED])),)
        return matches


def candidates(keys: Keyspace, criteria: Criteria, *, after: str | None = None, limit: int = 1_000) -> Candidates:
    """Returns the candidates for criteria that are `found_by_index`, those after the id `after` if it is given.

    `limit`: keys per LIST. Costs 1 LIST per name and `limit` entries, unless there are ids.
    """
    if criteria.ids:
        return Candidates(keys, criteria, Given(frozenset.intersection(*criteria.ids), after))
    sources = [
        AnyOf([Entries(keys, criteria.type or "", name, after, limit) for name in names])
        for names in criteria.names_in_index
    ]
    return Candidates(keys, criteria, sources[0] if len(sources) == 1 else AllOf(sources))


def find(keys: Keyspace, criteria: Criteria, *, most: int = 2) -> Protocol[list[Match]]:
    """Returns up to `most` matches. 1 LIST per name, 1 GET per candidate. Raises Unavailable, CorruptRecord.

    An identifier that moves from one resource to another during the search may be missed. A caller that creates where
    nothing was found must search again under a claim; a caller that then does nothing must use `find_or_be_sure`.
    """
    found, _ = yield from _look(keys, criteria, most)
    return found


def find_or_be_sure(
    keys: Keyspace, criteria: Criteria, *, most: int = 2, with_base: bool = True
) -> Protocol[list[Match]]:
    """Returns up to `most` matches; none only if nothing matched at some moment. Raises as `find`, Contention.

    `with_base` False: without the records, so that many matches take little memory.

    Where there were candidates and no match, it searches again until the candidates have not changed since they were
    read before: then nothing matched at the LIST in between. So it costs 1 LIST more where a resource matched lately.
    """
    before: dict[str, str | None] | None = None
    for _ in range(_LOOKS):
        found, others = yield from _look(keys, criteria, most, with_base=with_base)
        unchanged = before is not None and others.items() <= before.items()
        if found or unchanged or not others or criteria.ids:
            return found
        before = others
    raise Contention("Others kept writing what the criteria might match; nothing was written, try again")


def _look(
    keys: Keyspace, criteria: Criteria, most: int, *, with_base: bool = True
) -> Protocol[tuple[list[Match], dict[str, str | None]]]:
    """Returns the matches, and the other candidates as in `Candidates.others`."""
    some = candidates(keys, criteria)
    found: list[Match] = []
    count = max(4, most)
    while len(found) < most and (next_ones := (yield from some.next(count))):
        matches = yield from some.matching(next_ones)
        found += matches if with_base else [Match(match.keys, NOTHING) for match in matches]
        count = min(_AT_ONCE, 2 * count)
    return found, some.others
