"""Compartments and `$everything` are searches: their links, forms, costs, and what each access sees of them.

https://hl7.org/fhir/R4/compartmentdefinition.html · https://hl7.org/fhir/R4/patient-operation-everything.html
"""

from __future__ import annotations

from typing import Any

import pytest

from fhirstore import Access, AccessDenied, NotFound, TenantStore, UnknownType, parse_scopes
from tests.server.serving import FHIR_JSON, Served

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _put(served: Served, *resources: dict[str, Any]) -> None:
    for resource in resources:
        url = f"/fhir/{resource['resourceType']}/{resource['id']}"
        answer = await served.client.put(url, json=resource, headers=FHIR_JSON)
        assert answer.status_code == 201, answer.text


def _observation(id: str, patient: str, **members: object) -> dict[str, Any]:
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    subject = {"reference": f"Patient/{patient}"}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": code, "subject": subject, **members}


async def _ward(served: Served) -> None:
    """Two patients, one doctor, an encounter of the first, and observations."""
    doctor = {"reference": "Practitioner/d"}
    encounter = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": "Patient/a"},
        "period": {"start": "2020-03-01", "end": "2020-03-02"},
    }
    await _put(
        served,
        {"resourceType": "Practitioner", "id": "d"},
        {"resourceType": "Patient", "id": "a", "generalPractitioner": [doctor]},
        {"resourceType": "Patient", "id": "b"},
        encounter,
        _observation("a1", "a", effectiveDateTime="2020-03-01", encounter={"reference": "Encounter/e"}),
        _observation("a2", "a", effectiveDateTime="2021-03-01", performer=[doctor]),
        _observation("a3", "a"),
        _observation("b1", "b"),
    )


async def _bundle(served: Served, url: str) -> dict[str, Any]:
    answer = await served.client.get(url)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _names(bundle: dict[str, Any], mode: str = "match") -> list[str]:
    entries = bundle.get("entry", [])
    return sorted(one["resource"]["id"] for one in entries if one["search"]["mode"] == mode)


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), None)


async def _all(served: Served, url: str) -> list[str]:
    """The matches of all pages."""
    found: list[str] = []
    following: str | None = url
    while following is not None and len(found) < 50:
        bundle = await _bundle(served, following)
        found += _names(bundle)
        following = _link(bundle, "next")
    return sorted(found)


async def test_a_compartment_is_searched_as_a_type_is(served: Served) -> None:
    """With criteria, includes and totals; links stay in it, and the form may be posted."""
    await _ward(served)
    bundle = await _bundle(
        served, "/fhir/Patient/a/Observation?date=ge2021&_include=Observation:performer&_total=accurate"
    )
    assert (_names(bundle), _names(bundle, "include"), bundle["total"]) == (["a2"], ["d"], 1)
    own = _link(bundle, "self")
    assert own is not None and own.startswith("http://testserver/fhir/Patient/a/Observation?date=ge2021")
    assert await _all(served, "/fhir/Patient/a/*?_count=2&_type=Observation,Encounter") == ["a1", "a2", "a3", "e"]
    posted = await served.client.post("/fhir/Patient/a/Observation/_search", content="date:missing=true", headers=FORM)
    assert _names(posted.json()) == ["a3"]
    assert await _all(served, "/fhir/Encounter/e/Observation") == ["a1"]
    assert await _all(served, "/fhir/Practitioner/d/*") == ["a", "a2", "d"]


async def test_a_cursor_is_of_its_compartment(served: Served) -> None:
    """The next page of one is refused in another."""
    await _ward(served)
    following = _link(await _bundle(served, "/fhir/Patient/a/Observation?_count=1"), "next")
    assert following is not None
    elsewhere = following.replace("/Patient/a/", "/Patient/b/")
    assert (await served.client.get(elsewhere)).status_code == 400


@pytest.mark.parametrize(
    "path", ["Patient/a/Organization", "Patient/a/Unheard", "Observation/a1/Patient", "Patient/a/x/y"]
)
async def test_what_is_no_compartment_is_404(served: Served, path: str) -> None:
    """A type that is never in it, a type that is none, and a type that has no compartment."""
    answer = await served.client.get(f"/fhir/{path}")
    assert (answer.status_code, answer.json()["resourceType"]) == (404, "OperationOutcome")


async def test_everything_of_a_patient(served: Served) -> None:
    """All of the compartment; what that refers to comes along, but nothing of the compartment a second time."""
    await _ward(served)
    bundle = await _bundle(served, "/fhir/Patient/a/$everything")
    assert (_names(bundle), _names(bundle, "include")) == (["a", "a1", "a2", "a3", "e"], ["d"])
    assert await _all(served, "/fhir/Patient/a/$everything?_count=1") == ["a", "a1", "a2", "a3", "e"]
    assert await _all(served, "/fhir/Patient/a/$everything?_type=Encounter,Patient") == ["a", "e"]
    assert await _all(served, "/fhir/Encounter/e/$everything") == ["a1", "e"]
    assert await _all(served, "/fhir/Patient/$everything?_count=2") == ["a", "a1", "a2", "a3", "b", "b1", "e"]


async def test_everything_of_a_time(served: Served) -> None:
    """By dates of care, of which what has none is of all times; or by the time of the last change."""
    await _ward(served)
    assert await _all(served, "/fhir/Patient/a/$everything?start=2021") == ["a", "a2", "a3"]
    assert await _all(served, "/fhir/Patient/a/$everything?end=2020-12-31") == ["a", "a1", "a3", "e"]
    assert await _all(served, "/fhir/Patient/a/$everything?start=2020-03-02&end=2020-04") == ["a", "a3", "e"]
    assert await _all(served, "/fhir/Patient/a/$everything?_since=2099-01-01T00:00:00Z") == []
    for wrong in ("start=soon", "end=20", "_since=yesterday", "_type=Unheard", "_count=x", "nonsense=1"):
        answer = await served.client.get(f"/fhir/Patient/a/$everything?{wrong}")
        assert answer.status_code == 400, wrong
        assert wrong.partition("=")[0] in answer.json()["issue"][0]["diagnostics"]


async def test_everything_by_parameters(served: Served) -> None:
    """POST with a Parameters resource asks the same; its links are those of a GET."""
    await _ward(served)
    asked = {
        "resourceType": "Parameters",
        "parameter": [{"name": "start", "valueDate": "2021"}, {"name": "_count", "valueInteger": 2}],
    }
    answer = await served.client.post("/fhir/Patient/a/$everything", json=asked, headers=FHIR_JSON)
    assert answer.status_code == 200
    first, following = answer.json(), _link(answer.json(), "next")
    assert following is not None and "start=2021" in following
    assert sorted([*_names(first), *await _all(served, following)]) == ["a", "a2", "a3"]
    for wrong in ({"resourceType": "Patient"}, {**asked, "parameter": [{"name": "start"}]}):
        refused = await served.client.post("/fhir/Patient/a/$everything", json=wrong, headers=FHIR_JSON)
        assert refused.status_code == 400


async def test_everything_by_a_post_without_a_body(served: Served) -> None:
    """As clients call an operation without parameters; those of the URL count."""
    await _ward(served)
    answer = await served.client.post("/fhir/Patient/a/$everything?_type=Patient")
    assert answer.status_code == 200, answer.text
    assert _names(answer.json()) == ["a"]


async def test_everything_of_nobody(served: Served) -> None:
    """404, and 410 after a deletion; the pages of a moment before go on."""
    await _ward(served)
    assert (await served.client.get("/fhir/Patient/none/$everything")).status_code == 404
    following = _link(await _bundle(served, "/fhir/Patient/a/$everything?_count=1"), "next")
    assert following is not None
    await served.client.delete("/fhir/Patient/a")
    assert (await served.client.get("/fhir/Patient/a/$everything")).status_code == 410
    assert await _all(served, following) == ["a1", "a2", "a3", "e"]


async def test_both_are_entries_of_a_batch(served: Served) -> None:
    """And of a transaction, where they see what it wrote."""
    await _ward(served)
    urls = ("Patient/a/Observation?date=ge2021", "Patient/a/*", "Patient/a/$everything?_type=Encounter")
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    new = _observation("a4", "a", effectiveDateTime="2022")
    entries.append({"resource": new, "request": {"method": "PUT", "url": "Observation/a4"}})
    for kind in ("batch", "transaction"):
        bundle = {"resourceType": "Bundle", "type": kind, "entry": entries}
        answer = await served.client.post("/fhir", json=bundle, headers=FHIR_JSON)
        assert answer.status_code == 200, answer.text
        found = [_names(entry["resource"]) for entry in answer.json()["entry"][:3]]
        assert found == [["a2", "a4"], ["a", "a1", "a2", "a3", "a4", "e"], ["e"]]


async def test_an_access_finds_what_it_sees(served: Served) -> None:
    """A patient's own compartment and nothing of another's; without the right to search a type, it is left out."""
    await _ward(served)
    store = served.store.tenant("default")

    def acting(*scopes: str) -> TenantStore:
        given, _, _ = parse_scopes(" ".join(scopes))
        return store.acting(Access("s", "c", "default", scopes=given, patient="a"))

    own = acting("patient/*.rs")
    assert sorted([match.id async for match in own.search_at("Patient/a/$everything")]) == ["a", "a1", "a2", "a3", "e"]
    assert [match.id async for match in own.search_at("Patient/b/Observation")] == []
    with pytest.raises(NotFound):
        await own.search_at("Patient/b/$everything")
    some = acting("patient/Patient.rs", "patient/Encounter.s")
    assert sorted([match.id async for match in some.search_at("Patient/a/$everything")]) == ["a", "e"]
    with pytest.raises(AccessDenied):
        await some.search_at("Patient/a/Observation")
    with pytest.raises(UnknownType):
        await own.search_at("Patient/a/Observation/x")


async def test_a_compartment_costs_what_a_search_costs(served: Served) -> None:
    """1 LIST, and 1 GET per resource shown; $everything reads its patient first."""
    await _ward(served)
    await _bundle(served, "/fhir/Patient/a/Observation")
    with served.meter.measure() as cost:
        await _bundle(served, "/fhir/Patient/a/Observation")
    assert cost.requests == {"LIST": 1, "GET": 3}
    with served.meter.measure() as cost:
        await _bundle(served, "/fhir/Patient/a/$everything")
    assert cost.requests == {"LIST": 1, "GET": 7}
