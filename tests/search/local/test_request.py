"""What a search asks for is read as the page says, or refused by the name of the parameter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirstore.errors import FhirError, InvalidResource, UnknownType, Unsupported
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.criterion import SortKey
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.refusals import UnknownParameter
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.pages.finding import find
from tests.search.local.indexing import asked, fill, found, new_index, search
from tests.search.matching.asking import NOW


@pytest.fixture
def index(tmp_path: Path) -> Iterator[IndexFile]:
    """Two Patients, an Observation and an Organization, made one after the other."""
    index = new_index(tmp_path)
    tag = {"system": "urn:tags", "code": "t"}
    fill(
        index,
        [
            {
                "resourceType": "Patient",
                "id": "p",
                "birthDate": "2000-01-01",
                "meta": {"tag": [tag], "source": "urn:a"},
            },
            {"resourceType": "Organization", "id": "g", "meta": {"tag": [tag], "profile": ["http://x.example/p|1"]}},
            {"resourceType": "Patient", "id": "q", "birthDate": "2023-06-01", "meta": {"security": [tag]}},
            {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/p"}, "meta": {"tag": [tag]}},
        ],
    )
    yield index
    index.close()


@pytest.mark.parametrize(
    ("query", "error", "part"),
    [
        ("nothing=x", UnknownParameter, "'nothing'"),
        ("name:missing=perhaps", InvalidResource, "'name'"),
        ("name:above=x", Unsupported, "':above'"),
        ("birthdate:exact=2000", InvalidResource, "':exact'"),
        ("birthdate=gr2000", InvalidResource, "'birthdate'"),
        ("birthdate=2000,", InvalidResource, "'birthdate'"),
        ("gender:in=http://x", Unsupported, "':in'"),
        ("organization:Patient=x", InvalidResource, "'organization'"),
        ("birthdate.name=x", InvalidResource, "'birthdate'"),
        ("organization.nothing=x", UnknownParameter, "'nothing'"),
        ("organization:exact.name=x", InvalidResource, "'organization'"),
        (
            "general-practitioner:Organization.partof.partof.partof.partof.partof.partof.name=x",
            InvalidResource,
            "chain",
        ),
        ("_has:Observation:subject=x", InvalidResource, "_has"),
        ("_has:Nothing:subject:code=x", InvalidResource, "_has"),
        ("_has:Observation:code:code=x", InvalidResource, "'code'"),
        ("_id:missing=true", Unsupported, "'_id'"),
        ("_lastUpdated=yesterday", InvalidResource, "'_lastUpdated'"),
        ("_count=-1", InvalidResource, "_count"),
        ("_total=most", InvalidResource, "_total"),
        ("_contained=both", Unsupported, "_contained"),
        ("_contained=x", InvalidResource, "_contained"),
        ("_list=$current-problems", Unsupported, "'_list'"),
        ("_list:missing=true", Unsupported, "'_list'"),
        ("_list=a/b", InvalidResource, "'_list'"),
        ("_sort=,", InvalidResource, "_sort"),
        ("_sort=nothing", UnknownParameter, "Key 1 of _sort is no search parameter of Patient; it has active, address"),
        ("_sort=-birthdate,nothing&_count=0", UnknownParameter, "Key 2 of _sort"),
        ("_sort:desc=name", InvalidResource, "'_sort' has no modifier ':desc'"),
        ("_offset=1", UnknownParameter, "'_offset' of Patient; it has _count, _elements, _has, _id,"),
        ("_has=x", InvalidResource, "_has:Type:reference:parameter"),
        ("birthdate=gt", InvalidResource, "2020-05"),
        ("birthdate=yesterday", InvalidResource, "no prefix; there are eq ne"),
        ("_sort=identifier", Unsupported, "'identifier'"),
        ("_content=x", Unsupported, "FHIRSTORE_INDEX_TEXT"),
        ("_text:exact=x", InvalidResource, "'_text'"),
        ("_sort=_text", Unsupported, "'_text'"),
        ("name=%22%22", InvalidResource, "'name'"),
        ("identifier=" + ",".join("x" * 1_001), InvalidResource, "1,000"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(
    index: IndexFile, query: str, error: type[FhirError], part: str
) -> None:
    """Malformed, unknown, or not answered here; the value is never repeated."""
    with index.read() as reader, pytest.raises(error) as refused:
        find(reader, asked(index, "Patient", query), now=NOW)
    assert part in refused.value.issues[0].diagnostics


def test_ids_have_no_order(index: IndexFile) -> None:
    """As identifiers: of tokens that each resource has its own of, the texts are not kept."""
    for key in ("series", "-instance", "identifier"):
        with index.read() as reader, pytest.raises(Unsupported, match=key.removeprefix("-")):
            find(reader, asked(index, "ImagingStudy", f"_sort={key}"), now=NOW)


def test_the_lenient_leave_out_only_what_is_unknown(index: IndexFile) -> None:
    """It is told; a modifier that is not understood is refused even so."""
    pairs = [("nothing", "x"), ("_id", "p")]
    query = parse_search(index.catalogue, "Patient", pairs, now=NOW, lenient=True)
    assert (query.used, query.ignored) == ((("_id", "p"),), (("nothing", "x"),))
    with pytest.raises(Unsupported):
        parse_search(index.catalogue, "Patient", [("name:above", "x")], now=NOW, lenient=True)


def test_what_is_about_the_answer_is_kept_apart(index: IndexFile) -> None:
    """Order, size and total are the search's; the form of the answer is its caller's."""
    text = "_sort=-birthdate,_id&_count=5000&_total=accurate&_elements=id&_summary=false&_id=p"
    query = parse_search(index.catalogue, "Patient", parse_query(text), now=NOW)
    assert query.sort == (SortKey("birthdate", True), SortKey("_id", False))
    assert (query.count, query.total) == (1_000, "accurate")
    assert query.answer == (("_elements", "id"), ("_summary", "false"))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("_type=Patient,Organization", ["Patient/p", "Organization/g", "Patient/q"]),
        ("_type=Patient&_type=Organization,Patient", ["Patient/p", "Patient/q"]),
        ("_tag=urn:tags|t", ["Patient/p", "Organization/g", "Observation/o"]),
        ("_tag=t&_type=Observation", ["Observation/o"]),
        ("_tag:not=t&_type=Patient", ["Patient/q"]),
        ("_security=t", ["Patient/q"]),
        ("_source=urn:a", ["Patient/p"]),
        ("_profile=http://x.example/p", ["Organization/g"]),
        ("_profile:below=http://x.example/p|1", ["Organization/g"]),
        ("_lastUpdated=gt2000&_sort=-_lastUpdated", ["Observation/o", "Patient/q", "Organization/g", "Patient/p"]),
        ("_lastUpdated=lt2000", []),
        ("_lastUpdated=lt2000-01-01T10:00&_lastUpdated=gt1970-01-01T00:00:00", []),
        ("_id=p,g", ["Patient/p", "Organization/g"]),
    ],
)
def test_all_types_are_searched_at_once(index: IndexFile, query: str, expected: list[str]) -> None:
    """By what every resource has; in one order."""
    with index.read() as reader:
        assert found(reader, asked(index, None, query)) == expected
        page = find(reader, asked(index, None, f"{query}&_count=0"), now=NOW)
    assert (page.names, page.total) == ((), len(expected))


def test_about_is_a_tenth_of_the_time_from_now(index: IndexFile) -> None:
    """Now is June 2024: twenty-four years ago is known to two years, last year to a month."""
    assert search(index, "Patient", "birthdate=ap2001-12-01") == ["p"]
    assert search(index, "Patient", "birthdate=ap2004-01-01") == []
    assert search(index, "Patient", "birthdate=ap2023-06-20") == ["q"]
    assert search(index, "Patient", "birthdate=ap2023-11-20") == []


def test_an_unknown_type_is_refused(index: IndexFile) -> None:
    """As the type that is searched, and in _type."""
    with pytest.raises(UnknownType):
        asked(index, "Nothing", "")
    with pytest.raises(InvalidResource, match="_type"):
        asked(index, None, "_type=Patient,Nothing")
