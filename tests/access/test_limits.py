"""What an access lets searches find is what it sees: the index and `Sight` agree on every resource."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from fhirstore import Access, AccessDenied, parse_scopes
from fhirstore.access.limits import limits_of
from fhirstore.access.sight import Sight, sight_of
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.compartments import Compartments
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.file import IndexFile
from fhirstore.search.criteria.compartment import in_compartment
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.matching import filter_parameters
from fhirstore.search.pages.finding import find
from tests.search.local.drawing import TYPES, ids, resources, searches
from tests.search.local.indexing import fill, new_index
from tests.search.local.test_official import examples
from tests.search.matching.asking import HERE, NOW

SCOPES = (
    "patient/*.rs",
    "patient/*.s user/*.r",
    "patient/Observation.rs?category=laboratory patient/Patient.s patient/Condition.cud",
    "patient/Observation.s?status:not=final system/Observation.s?code=http://loinc.org%7C",
    "patient/*.rs?_tag:missing=true",
    "system/Patient.s?gender=male patient/Encounter.rs",
    "patient/Observation.s?status=none",
)


def sight(scopes: str, patient: str | None, release: str = "4.0") -> Sight:
    """What a launch with this patient sees."""
    parsed, others, refused = parse_scopes(scopes, release=release)
    assert not refused
    return sight_of(
        Access("s", "c", None, parsed, patient, others, user="Patient/of-the-user"), release, frozenset(HERE)
    )


def seen(sight: Sight, type: str, stored: Iterable[JsonObject]) -> set[str] | None:
    """The ids of the resources of a type that a search shows; None where it is refused."""
    try:
        sight.require("search", type)
    except AccessDenied:
        return None
    sees = sight.sees("search", type)
    return {
        str(one["id"])
        for one in stored
        if one["resourceType"] == type and (sees is None or sees(type, json.encode(one)))
    }


def found(index: IndexFile, sight: Sight, type: str) -> set[str] | None:
    """The ids of the resources of a type that the index finds; None where it is refused."""
    query = Query(((type, ()),), count=1_000)
    with index.read() as reader:
        try:
            return {one.id for one in find(reader, query, now=NOW, limits=limits_of(sight, index.catalogue)).names}
        except AccessDenied:
            return None


def compare(release: str, folder: Path, most: int) -> Counter[str]:
    """Compares them on official examples, for the patient who has most of them. Returns how many there were."""
    by_type = examples(release, most)
    stored = [one for some in by_type.values() for one in some]
    index = new_index(folder, release)
    fill(index, stored)
    compartments = Compartments(definitions(release), HERE)
    patients = Counter(id_ for one in stored for id_ in compartments.patients(one)).most_common(2)
    counted: Counter[str] = Counter()
    for scopes in SCOPES:
        for patient, _ in patients:
            acting = sight(scopes, patient, release)
            for type_ in by_type:
                wanted = seen(acting, type_, stored)
                assert found(index, acting, type_) == wanted, (scopes, patient, type_)
                counted["refused" if wanted is None else "none" if not wanted else "some"] += 1
    index.close()
    return counted


@pytest.mark.parametrize(
    "release", ["4.0", pytest.param("4.3", marks=pytest.mark.slow), pytest.param("5.0", marks=pytest.mark.slow)]
)
def test_the_index_finds_what_is_seen(tmp_path: Path, release: str) -> None:
    """Official examples of all types, by scopes with compartments and criteria."""
    counted = compare(release, tmp_path, most=12)
    assert counted["some"] > 60
    assert counted["refused"] > 100


@settings(
    max_examples=25,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.data())
def test_criteria_of_scopes_reach_what_they_match(data: st.DataObject) -> None:
    """Whatever parameters the scopes name, alone or several, in the compartment or in the whole tenant."""
    named = [(type_, id_) for type_ in TYPES for id_ in ids(type_)]
    drawn = st.sampled_from(named).flatmap(lambda one: st.tuples(st.just(one), resources(one[0])))
    there = data.draw(st.lists(drawn, min_size=3, max_size=12, unique_by=lambda one: one[0]))
    stored: list[JsonObject] = [{"resourceType": type_, "id": id_, **one} for (type_, id_), one in there]
    scopes = []
    for _ in range(data.draw(st.integers(1, 4))):
        type_, pairs, _ = data.draw(searches())
        context = data.draw(st.sampled_from(("patient", "system", "user")))
        query = "&".join(f"{name}={value}" for name, value in pairs)
        scopes.append(f"{context}/{type_}.rs{f'?{query}' if query else ''}")
    parsed, _, _ = parse_scopes(" ".join(one for one in scopes if " " not in one))
    access = Access("s", "c", None, parsed, "p1", user="Patient/p2")
    with tempfile.TemporaryDirectory() as folder:
        index = new_index(Path(folder))
        fill(index, stored)
        acting = sight_of(access, "4.0", frozenset(HERE))
        for type_ in TYPES:
            assert found(index, acting, type_) == seen(acting, type_, stored), parsed
        index.close()


def test_a_binary_is_found_by_its_security_context(tmp_path: Path) -> None:
    """It is the patient's where that is the Patient; clients cannot ask for it."""
    contexts = {"a": "Patient/p", "b": "Patient/q", "c": "Observation/p", "d": f"{HERE[0]}Patient/p", "e": None}
    binary: JsonObject = {"resourceType": "Binary", "contentType": "text/plain"}
    stored: list[JsonObject] = [
        {**binary, "id": id_, **({} if context is None else {"securityContext": {"reference": context}})}
        for id_, context in contexts.items()
    ]
    index = new_index(tmp_path)
    fill(index, stored)
    acting = sight("patient/*.rs", "p")
    assert found(index, acting, "Binary") == seen(acting, "Binary", stored) == {"a", "d"}
    with pytest.raises(InvalidResource):
        parse_search(index.catalogue, "Binary", [("securityContext", "Patient/p")], now=NOW)
    index.close()


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
def test_every_compartment_can_be_searched(release: str) -> None:
    """Each parameter that puts a resource into a compartment is one that the index has."""
    catalogue = Catalogue.of(definitions(release))
    for compartment, types in catalogue.definitions.compartments.items():
        for type_, codes in types.items():
            known = catalogue.definitions.search_parameters[type_]
            wanted = [code for code in codes if code in known]
            assert all(catalogue.parameters(type_)[code].kind == "reference" for code in wanted), (type_, codes)
            if wanted or type_ == compartment:
                made = in_compartment(catalogue, compartment, "x", type_)
                assert made is not None
                assert len(made.alternatives) == len(wanted) + (type_ == compartment)


@pytest.mark.parametrize(
    "release", ["4.0", pytest.param("4.3", marks=pytest.mark.slow), pytest.param("5.0", marks=pytest.mark.slow)]
)
def test_every_parameter_of_a_scope_can_limit_a_search(release: str) -> None:
    """A token is accepted with criteria that a filter evaluates; so the index must answer them, too."""
    catalogue = Catalogue.of(definitions(release))
    for type_ in catalogue.types:
        for parameter in filter_parameters(catalogue.definitions, type_):
            if parameter.code not in ("_id", "_lastUpdated") and parameter.type != "composite":  # has no :missing
                assert parse_search(catalogue, type_, [(f"{parameter.code}:missing", "true")], now=0).branches
