"""Index files of resources at hand, and searches of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.index.local.apply import Batch, Change
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find
from tests.search.matching.asking import HERE, NOW


def new_index(folder: Path, release: str = "4.0") -> IndexFile:
    """An empty index file."""
    return IndexFile.open(folder / "index.sqlite", Catalogue.of(definitions(release), HERE), identity="memory:")


def changes(resources: Iterable[JsonObject]) -> list[Change]:
    """The first versions of these, each made a millisecond after the one before."""
    return [
        Change(str(one["resourceType"]), str(one["id"]), 1, NOW + number, NOW + number, json.encode(one))
        for number, one in enumerate(resources)
    ]


def fill(index: IndexFile, resources: Iterable[JsonObject]) -> int:
    """Applies them as one batch."""
    return index.apply(Batch(changes(resources), at=NOW))


def asked(index: IndexFile, type: str | None, query: str) -> Query:
    """The search of this query, quoted as in a URL."""
    return parse_search(index.catalogue, type, parse_query(query.replace("+", "%2B")), now=NOW)


def found(reader: Reader, query: Query, *, seq: int | None = None) -> list[str]:
    """The names of all matches of one page, `Type/id`, in order."""
    return [f"{one.type}/{one.id}" for one in find(reader, query, now=NOW, seq=seq).names]


def search(index: IndexFile, type: str | None, query: str) -> list[str]:
    """The ids of up to a thousand matches, in order."""
    with index.read() as reader:
        return [name.partition("/")[2] for name in found(reader, asked(index, type, f"{query}&_count=1000"))]


def ids(resources: Sequence[JsonObject]) -> list[str]:
    """Their ids."""
    return [str(one["id"]) for one in resources]
