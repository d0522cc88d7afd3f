"""The index finds in the official examples what the filter finds that looks at each resource."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.composites import branches_of
from fhirstore.fhir.search_parameters.getters import getter
from fhirstore.search.matching import filter_parameters, parse_filter
from fhirstore.search.pages.finding import find
from tests.fhir.validation.examples import of
from tests.search.local.indexing import asked, fill, new_index
from tests.search.matching.asking import HERE, NOW
from tests.search.matching.plain_reading import searches
from tests.search.matching.test_composites import queries

WRITTEN_BY_SERVERS = ("_id", "_lastUpdated")


def examples(release: str, most: int) -> dict[str, list[JsonObject]]:
    """Some examples of each type."""
    found: dict[str, list[JsonObject]] = {}
    for _, body in of(release):
        resource = json.parse(body)
        type_ = str(resource["resourceType"])
        some = found.setdefault(type_, [])
        is_new = isinstance(resource.get("id"), str) and resource["id"] not in [one["id"] for one in some]
        if is_new and len(some) < most:
            some.append(resource)
    return found


def further(kind: str, query: str) -> list[str]:
    """The same search with other prefixes and modifiers."""
    value = query.partition("=")[2]
    bare = value[2:] if value[:2].isalpha() and value[2:3].isdigit() else value
    match kind:
        case "date" | "number" | "quantity":
            return [f"={prefix}{bare}" for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")]
        case "token":
            return [f":not={value}", f":text={value}"]
        case "string":
            return [f"={value}", f":contains={value[1:5]}", f":exact={value}"]
        case "uri":
            return [f":above={value}/x/y", f":below={value}", f":below={value.rpartition('/')[0]}"]
    return [f":below={value}", f":identifier={value}"]


def asking(facts: Definitions, parameter: SearchParameter, type: str, some: list[JsonObject]) -> Iterator[str]:
    """Searches for what these resources have."""
    kind = parameter.type
    if kind == "composite":
        for query, _ in queries(branches_of(facts, type, parameter)[-1], some):
            yield f"={query}"
            first, _, rest = query.partition("$")
            yield f"={first.rpartition('|')[0]}|${rest},nothing${rest}"
        return
    yield from (":missing=true", ":missing=false")
    get = getter(facts, type, parameter.code)
    found = [query for query, _ in searches(kind, [get(resource) for resource in some])]
    yield from found
    for query in found[:3]:
        yield from further(kind, query)


@pytest.mark.slow
def test_the_index_finds_what_the_filter_finds(tmp_path: Path) -> None:
    """Each parameter of each type, by the values of examples: every prefix and modifier that has a meaning there.

    All releases, with more examples: `python -m tests.search.local official`.
    """
    compare("4.0", tmp_path, most=5)


def compare(release: str, folder: Path, *, most: int) -> Counter[str]:
    """Compares searches of up to `most` examples of each type. Returns how many, by kind of parameter."""
    facts = definitions(release)
    index = new_index(folder, release)
    resources = examples(release, most)
    fill(index, [one for some in resources.values() for one in some])
    compared: Counter[str] = Counter()
    matched: Counter[str] = Counter()
    with index.read() as reader:
        for type_, some in resources.items():
            for parameter in filter_parameters(facts, type_):
                code, kind = parameter.code, parameter.type
                if code in WRITTEN_BY_SERVERS:
                    continue
                for query in dict.fromkeys(asking(facts, parameter, type_, some)):
                    try:
                        plain = parse_filter(facts, type_, f"{code}{query}", now=NOW, bases=HERE)
                    except InvalidResource:
                        with pytest.raises(InvalidResource):
                            find(reader, asked(index, type_, f"{code}{query}"), now=NOW)
                        continue
                    expected = [str(one["id"]) for one in some if plain.matches(one)]
                    search = asked(index, type_, f"{code}{query}&_count=1000&_total=accurate")
                    page = find(reader, search, now=NOW)
                    assert [one.id for one in page.names] == expected, (type_, f"{code}{query}")
                    assert page.total == len(expected)
                    compared[kind] += 1
                    matched[kind] += bool(expected)
    index.close()
    assert set(compared) == {"token", "string", "reference", "uri", "date", "number", "quantity", "composite"}
    assert all(matched[kind] > count / 10 for kind, count in compared.items()), (matched, compared)
    assert compared.total() > 5_000, compared
    return compared
