"""Finds the resources that meet criteria, by their ids, by the identity index or by the local search index.

The identity index is a superset: an entry says that some version was to have the identifier. So each candidate's
current version is read and checked. A search also removes the entries that turn out to be dead
(`fhirstore.index.dead`).

The local index (`Criteria.lookup`) names versions that meet the criteria at one moment. Their resources are read and
checked, too: where one has changed since and does not match any more, it is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fhirstore.batched import batched
from fhirstore.commit.attempt import NOTHING, Base
from fhirstore.commit.messages import Delete, Protocol
from fhirstore.commit.reading import look
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import Contention
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.index.dead import dead_entries
from fhirstore.search.conditional.entries import AllOf, AnyOf, Candidate, Entries, Given, Source
from fhirstore.search.conditional.identifying import Criteria, Lookup
from fhirstore.version import Version, version_of

_AT_ONCE = 32
_MOST_REMOVED = 1_000
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Match:
    """A resource that meets the criteria, with its `base` as read. `version`: which met them; 0 where it is read from
    the base."""

    keys: ResourceKeys
    base: Base
    version: int = 0


def versions_of(matches: Iterable[Match]) -> tuple[Version, ...]:
    """Returns the matches as they are shown."""
    return tuple(
        version_of(match.keys.type, match.keys.id, record)
        for match in matches
        if (record := match.base.record) is not None
    )


@dataclass(slots=True)
class Candidates:
    """Candidates in order. `others`: those that did not match: id -> op token of the current version, if any."""

    keys: Keyspace
    criteria: Criteria
    source: Source
    others: dict[str, str | None] = field(default_factory=dict)

    def next(self, count: int) -> Protocol[list[Candidate]]:
        """Returns the next `count` candidates, or fewer at the end. Raises Unavailable."""
        found: list[Candidate] = []
        while len(found) < count and (one := (yield from self.source.next())) is not None:
            found.append(one)
        return found

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


def candidates(keys: Keyspace, criteria: Criteria) -> Candidates:
    """Returns the candidates for criteria that are `found_by_index`. 1 LIST per name and 1,000 entries, unless there
    are ids."""
    if criteria.ids:
        return Candidates(keys, criteria, Given(frozenset.intersection(*criteria.ids)))
    sources = [AnyOf([Entries(keys, criteria.type or "", name) for name in names]) for names in criteria.names_in_index]
    return Candidates(keys, criteria, sources[0] if len(sources) == 1 else AllOf(sources))


def find(keys: Keyspace, criteria: Criteria, *, most: int = 2) -> Protocol[list[Match]]:
    """Returns up to `most` matches. 1 LIST per name, 1 GET per candidate. Raises Unavailable, CorruptRecord.

    An identifier that moves from one resource to another during the search may be missed. A caller that creates where
    nothing was found must search again under a claim; a caller that then does nothing must use `find_or_be_sure`.
    """
    if criteria.lookup is not None:
        return (yield from _look_up(keys, criteria, criteria.lookup, most))
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
    if criteria.lookup is not None:
        return (yield from _look_up(keys, criteria, criteria.lookup, most, with_base=with_base))
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


def _look_up(
    keys: Keyspace, criteria: Criteria, lookup: Lookup, most: int, *, with_base: bool = True
) -> Protocol[list[Match]]:
    """Returns up to `most` of the matches that the local index names, all of one moment. 1 GET each.

    A version that does not match, though the index names it, was purged, or is hidden: it is left out from then on.
    """
    type_ = criteria.type or ""
    left_out: set[tuple[str, int]] = set()
    for _ in range(_LOOKS):
        named = yield from lookup(most + len(left_out))
        found: list[Match] = []
        stale = False
        for group in batched([one for one in named if one not in left_out][:most], _AT_ONCE):
            resources = [keys.resource(type_, id_) for id_, _ in group]
            looks = yield from side_by_side([look(one) for one in resources])
            for (id_, version), resource, (base, _) in zip(group, resources, looks, strict=True):
                if criteria.knowing(id_, version).match(type_, id_, base.shown):
                    found.append(Match(resource, base if with_base else NOTHING, version))
                else:
                    stale = True
                    if base.shown is None or base.shown.version == version:
                        left_out.add((id_, version))
        if not stale:
            return found
    raise Contention("Others kept writing what the criteria might match; nothing was written, try again")
