"""What a search cannot be asked for is refused by name, with what there is instead; nothing is read for it."""

from __future__ import annotations

import pytest

from tests.server.serving import Served


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("Patient?colour=x", ("'colour'", "birthdate", "general-practitioner")),
        ("Patient?gender:exact=x", ("':exact'", ":missing", ":not")),
        ("Observation?subject:contains=x", ("':contains'", ":identifier", ":[type]")),
        ("Observation?subject:Organization=x", ("Organization",)),
        ("Observation?subject:Organization.name=x", ("Organization", "Device, Group, Location, Patient")),
        ("Observation?code.name=x", ("'code'", "subject", "encounter")),
        ("Observation?_include=Observation:code", ("'_include'", "subject", "has-member")),
        ("Patient?_revinclude=Observation", ("'_revinclude'",)),
        ("Patient?_has:Observation:code:date=2020", ("'code'", "patient")),
        ("Patient?_has:Observation:date=2020", ("_has:Type:reference:parameter",)),
        ("Patient?birthdate=yesterday", ("'birthdate'", "prefix")),
        ("Patient?birthdate=20240501", ("'birthdate'", "2020-05-01")),
        ("Patient?birthdate=>=1950", ("'birthdate'", "ge instead of >=")),
        ("Observation?value-quantity=>7", ("'value-quantity'", "ge instead of >=")),
        ("Patient?_sort:desc=birthdate", ("'_sort'", "':desc'", "_sort=-")),
        ("Patient?_elements:x=name", ("'_elements'", "':x'")),
        ("Patient?_totalMethod=x", ("_total",)),
        ("Patient?_sort=birthdate,colour", ("Key 2 of _sort", "birthdate", "general-practitioner")),
        ("?_type=Patient,Colour", ("_type", "number 2")),
        ("Patient?_total=some", ("accurate",)),
        ("?family=x", ("'family'", "_type")),
        ("?_type=Patient,Observation&family=x", ("'family'", "_type")),
    ],
)
async def test_it_is_told_what_there_is(served: Served, url: str, named: tuple[str, ...]) -> None:
    """400 with one issue that names what was wrong, and the choices."""
    with served.meter.measure() as cost:
        answer = await served.client.get(f"/fhir/{url}")
    assert answer.status_code == 400, answer.text
    (issue,) = answer.json()["issue"]
    assert all(name in issue["diagnostics"] for name in named), issue["diagnostics"]
    assert not {kind: number for kind, number in cost.requests.items() if kind != "LIST"}


async def test_values_are_not_repeated(served: Served) -> None:
    """They may be data of patients."""
    for query in (
        "birthdate=Ngata",
        "colour=Ngata",
        "gender:exact=Ngata",
        "_id:x=Ngata",
        "_lastUpdated=Ngata",
        "_sort=Ngata",
    ):
        answer = await served.client.get(f"/fhir/Patient?{query}")
        assert answer.status_code in (400, 501)
        assert "Ngata" not in answer.text


async def test_a_modifier_is_refused_to_the_lenient_too(served: Served) -> None:
    """https://hl7.org/fhir/R4/search.html#modifiers: it would change what is found."""
    answer = await served.client.get("/fhir/Patient?gender:exact=x", headers={"Prefer": "handling=lenient"})
    assert answer.status_code == 400
