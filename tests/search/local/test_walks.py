"""A page of many matches costs as much as the page: the index is walked in the order of the sort."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.file import IndexFile
from fhirstore.search.pages import finding as execute
from fhirstore.search.pages.finding import find
from fhirstore.search.plans import bounds
from fhirstore.search.plans.keys import Keys
from fhirstore.search.plans.order import Position
from tests.search.local.indexing import asked, fill, new_index, search
from tests.search.matching.asking import NOW

COUNT = 1_500
FEW_STEPS = 6_000
"""Steps of SQLite that a page may take; it takes up to 2,200, and sorting all many times that."""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IndexFile]:
    """Many ValueSets, of which most are active."""
    index = new_index(tmp_path_factory.mktemp("walks"))
    fill(index, [value_set(n) for n in range(COUNT)])
    yield index
    index.close()


def value_set(n: int) -> JsonObject:
    """One of them."""
    shuffled = n * 7 % COUNT
    return {
        "resourceType": "ValueSet",
        "id": f"v{n}",
        "status": "draft" if n % 10 == 0 else "active",
        "url": f"http://x.example/{shuffled:05}",
        "name": f"name{shuffled:05}",
        "date": f"{1000 + shuffled:04}",
        "experimental": n % 3 == 0,
    }


def in_steps(most: int) -> AbstractContextManager[object]:
    """A page may take so many steps; no access is so small that all that it leads to is sorted."""
    stack = ExitStack()
    stack.enter_context(patch.object(execute, "_STEP", 100))
    stack.enter_context(patch.object(execute, "_MOST_STEPS", most // 100))
    stack.enter_context(patch.object(bounds, "SORTED", 100))
    return stack


@pytest.mark.parametrize("sort", ["date", "-date", "name", "-name", "_lastUpdated", "-url", "url", "status"])
def test_a_page_of_many_ends_as_soon_as_it_is_full(index: IndexFile, sort: str) -> None:
    """Also a page from the middle; where the index is not walked, it takes many more steps."""
    query = f"status=active,draft&_sort={sort}&_count="
    search = asked(index, "ValueSet", f"{query}20")
    with index.read() as reader:
        whole = find(reader, asked(index, "ValueSet", f"{query}1000"), now=NOW)
        with in_steps(FEW_STEPS):
            first = find(reader, search, now=NOW)
            second = find(reader, search, now=NOW, after=Position(first.names[-1].keys, first.names[-1].rid))
        assert (*first.names, *second.names) == whole.names[:40]
        with in_steps(FEW_STEPS), patch.object(Keys, "walks", lambda *_: []), pytest.raises(InvalidResource):
            find(reader, search, now=NOW)


def test_tokens_that_are_texts_are_sorted_without_case(tmp_path: Path) -> None:
    """A version has no code, and is sorted all the same."""
    index = new_index(tmp_path)
    texts = {"a": "b1", "b": "A2", "c": "a1"}
    fill(index, [{"resourceType": "ValueSet", "id": id_, "version": text} for id_, text in texts.items()])
    assert search(index, "ValueSet", "_sort=version") == ["c", "b", "a"]
    assert search(index, "ValueSet", "_sort=-version") == ["a", "b", "c"]
    index.close()
