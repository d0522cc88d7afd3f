"""A search finds at every moment what looking at every resource finds: the same, in that order, with that total.

Pages are read while others write: each match of the moment of the first page comes exactly once.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cmp_to_key
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find
from fhirstore.search.plans import bounds
from fhirstore.search.plans.order import Position
from tests.search.local.drawing import TYPES, ids, resources, searches
from tests.search.local.indexing import new_index
from tests.search.local.naive import Stored
from tests.search.matching.asking import NOW

Search = tuple[str, list[tuple[str, str]], list[str]]
Writes = list[tuple[str, str, JsonObject | None]]


class Writing:
    """An index, and what it should say at each sequence number."""

    def __init__(self, index: IndexFile) -> None:
        self.index = index
        self.moments: dict[int, Stored] = {0: Stored({})}
        self._versions: dict[str, int] = {}
        self._born: dict[str, int] = {}
        self._there: dict[str, JsonObject] = {}
        self._t = NOW

    def write(self, writes: Writes) -> None:
        """Applies these as one batch, together with some that were applied before."""
        changes = []
        for type_, id_, resource in writes:
            self._t += 1
            name = f"{type_}/{id_}"
            if resource is None and name not in self._there:
                continue
            version = self._versions[name] = self._versions.get(name, 0) + 1
            born = self._born.setdefault(name, self._t)
            content = None if resource is None else {"resourceType": type_, "id": id_, **resource}
            body = None if content is None else json.encode(content)
            changes.append(Change(type_, id_, version, self._t, born, body))
            self._there.pop(name, None)
            if content is not None:
                self._there[name] = content
        seq = self.index.apply(Batch(changes, at=self._t))
        assert self.index.apply(Batch(changes, at=self._t)) == seq
        in_order = sorted(self._there, key=self._born.__getitem__)
        self.moments[seq] = Stored({name: self._there[name] for name in in_order})


def expected(stored: Stored, search: Search) -> list[str]:
    """The names of the matches, in order."""
    type_, pairs, sort = search

    def compare(one: str, other: str) -> int:
        for key in sort:
            code, down = key.removeprefix("-"), key.startswith("-")
            left, right = (stored.sort_value(name, code, down) for name in (one, other))
            if left != right:
                if left is None or right is None:
                    return 1 if left is None else -1
                return (-1 if left < right else 1) * (-1 if down else 1)  # type: ignore[operator]
        return 0

    return sorted(stored.matches(type_, pairs), key=cmp_to_key(compare))


WRITES = st.lists(
    st.sampled_from(TYPES).flatmap(
        lambda type: st.tuples(st.just(type), st.sampled_from(ids(type)), st.none() | resources(type))
    ),
    min_size=1,
    max_size=8,
)


def check(batches: list[Writes], asked: list[Search], count: int) -> None:
    """Each search at each moment, and once page by page while batches are applied.

    With an odd count no access leads to few, so that the index is walked, and chains are tested reference by reference.
    """
    few = bounds.FEW * (count % 2 == 0), bounds.SORTED * (count % 2 == 0)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.object(bounds, "FEW", few[0]),
        patch.object(bounds, "SORTED", few[1]),
        patch.object(bounds, "SORTED_SOON", few[1] and 64),
    ):
        writing = Writing(new_index(Path(folder)))
        try:
            for number, batch in enumerate(batches):
                writing.write(batch)
                later = iter(batches[number + 1 :])
                if number == 0:
                    for search in asked:
                        paged(writing, search, count, later)
            for search in asked:
                at_every_moment(writing, search)
        finally:
            writing.index.close()


def at_every_moment(writing: Writing, search: Search) -> None:
    """Names, order and total, as of every sequence number."""
    type_, pairs, sort = search
    more = [("_sort", ",".join(sort))] if sort else []
    query = parse_search(
        writing.index.catalogue, type_, [*pairs, *more, ("_count", "1000"), ("_total", "accurate")], now=NOW
    )
    with writing.index.read() as reader:
        for seq, stored in writing.moments.items():
            wanted = expected(stored, search)
            page = find(reader, query, now=NOW, seq=seq)
            assert [f"{one.type}/{one.id}" for one in page.names] == wanted, (search, seq)
            assert page.total == len(wanted)
            event("some" if 0 < len(wanted) < 4 else "none" if not wanted else "many")


def paged(writing: Writing, search: Search, count: int, later: Iterator[Writes]) -> None:
    """Page by page as of the first one, to the end and back."""
    type_, pairs, sort = search
    more = [("_sort", ",".join(sort))] if sort else []
    query = parse_search(writing.index.catalogue, type_, [*pairs, *more, ("_count", str(count))], now=NOW)
    seq = max(writing.moments)
    wanted = expected(writing.moments[seq], search)
    seen: list[str] = []
    after: Position | None = None
    while True:
        with writing.index.read() as reader:
            page = find(reader, query, now=NOW, seq=seq, after=after)
        seen += [f"{one.type}/{one.id}" for one in page.names]
        if not page.more:
            break
        after = Position(page.names[-1].keys, page.names[-1].rid)
        batch = next(later, None)
        if batch is not None:
            writing.write(batch)
    assert seen == wanted, search
    while page.names and len(seen) > len(page.names):
        seen = seen[: len(seen) - len(page.names)]
        before = Position(page.names[0].keys, page.names[0].rid)
        with writing.index.read() as reader:
            page = find(reader, query, now=NOW, seq=seq, before=before)
        assert [f"{one.type}/{one.id}" for one in page.names] == seen[-count:], search
        assert page.more is (len(seen) > count)


HISTORIES = (st.lists(WRITES, min_size=1, max_size=5), st.lists(searches(), min_size=1, max_size=12), st.integers(1, 3))


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(*HISTORIES)
@pytest.mark.slow
def test_the_index_finds_what_looking_at_every_resource_finds(
    batches: list[Writes], asked: list[Search], count: int
) -> None:
    """All kinds of parameters, modifiers, prefixes, chains and sort keys, over histories with deletes and returns.

    More of them: `python -m tests.search.local 5000`. A failure is not made smaller, since that takes minutes.
    """
    check(batches, asked, count)
