"""Resources and searches of them, drawn from few values, so that searches find some and not all."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject

LOINC, UCUM, LOCAL = "http://loinc.org", "http://unitsofmeasure.org", "urn:local"
HERE, THERE = "https://here.example/fhir/", "https://there.example/fhir/"

_ids = {"Patient": ["p0", "p1", "p2"], "Observation": ["o0", "o1", "o2", "o3"], "Organization": ["g0", "g1"]}
_families = ["Smith", "Smith-Jones", "Müller", "O'Brien", "de la Cruz", "Jones Smith", "a-b c"]
_dates = ["1990", "1990-06", "1990-06-15", "1991-01-01", "2020-02-29", "2019-12-31"]
_times = ["2020-01-01T00:00:00Z", "2020-01-01T10:00:00+02:00", "2020-01-02T23:59:59Z", *_dates]
_codes = [{"system": LOINC, "code": "1-8"}, {"system": LOCAL, "code": "1-8"}, {"code": "1-8"}, {"system": LOINC}]
_shown = [
    {"system": LOINC, "code": "2-6", "display": "Body-weight"},
    {"system": LOCAL, "code": "x", "display": "Weight"},
]
_identifiers: list[dict[str, Any]] = [
    {"system": LOCAL, "value": "1"},
    {"value": "1"},
    {
        "system": "urn:other",
        "value": "1",
        "type": {"coding": [{"system": LOCAL, "code": "MR"}], "text": "Record-number"},
    },
    {"system": LOCAL, "value": "2"},
]
_urls = ["http://x.example/a", "http://x.example/a/b", "http://x.example/ab", "urn:x:a"]


def _some(one: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(one, min_size=1, max_size=2)


def _may(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=members)


def _from(values: list[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


_concept = _may(coding=_some(_from([*_codes, *_shown])), text=_from(["Body weight", "other"]))
_subject = st.one_of(
    _from(
        [
            f"{base}Patient/{id}{version}"
            for base in ("", HERE, THERE)
            for id in _ids["Patient"]
            for version in ("", "/_history/1")
        ]
    ).map(lambda text: {"reference": text}),
    _from(_identifiers).map(lambda one: {"identifier": one}),
)
_organization = _from([{"reference": f"Organization/{id}"} for id in (*_ids["Organization"], "none")])
_number = _from(["5.4", "5.40", "0.1", "100", "99.5", "-3", "1e2"])
_quantity = st.fixed_dictionaries(
    {"value": _number},
    optional={
        "system": _from([UCUM, LOCAL]),
        "code": _from(["kg", "g", "mg"]),
        "unit": _from(["kg", "stones"]),
        "comparator": _from(["<", ">", ">="]),
    },
)

_resources: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Patient": _may(
        active=st.booleans(),
        gender=_from(["male", "female"]),
        birthDate=_from(_dates),
        name=_some(_may(family=_from(_families), given=_some(_from(["Ann", "Bo-Yun", "Ö"])))),
        identifier=_some(_from(_identifiers)),
        telecom=_some(
            _from(
                [{"system": "phone", "value": "1", "use": "home"}, {"system": "email", "value": "a@b", "use": "work"}]
            )
        ),
        managingOrganization=_organization,
    ),
    "Observation": _may(
        status=_from(["final", "preliminary"]),
        code=_concept,
        category=_some(_concept),
        subject=_subject,
        effectiveDateTime=_from(_times),
        valueQuantity=_quantity,
        hasMember=_some(_from([{"reference": f"Observation/{id}"} for id in _ids["Observation"]])),
    ),
    "Organization": _may(name=_from(_families), partOf=_organization, alias=_some(_from(_families))),
    "ValueSet": _may(url=_from(_urls), version=_from(["1", "1.1"]), name=_from(_families), date=_from(_times)),
    "Encounter": _may(
        period=_may(start=_from(_times), end=_from(_times)), subject=_subject, serviceProvider=_organization
    ),
    "RiskAssessment": _may(
        prediction=_some(
            st.one_of(_may(probabilityDecimal=_number), _may(probabilityRange=_may(low=_quantity, high=_quantity)))
        )
    ),
}
TYPES = tuple(_resources)


def resources(type: str) -> st.SearchStrategy[JsonObject]:
    """Resources of a type, as they are parsed."""
    return _resources[type].map(_parsed)


def _parsed(members: dict[str, Any]) -> JsonObject:
    """Numbers are drawn as texts, so that they keep their digits."""
    written = json.dump(members).decode()
    for number in ("5.40", "5.4", "0.1", "100", "99.5", "-3", "1e2"):
        for name in ("value", "probabilityDecimal"):
            written = written.replace(f'"{name}":"{number}"', f'"{name}":{number}')
    return json.parse(written.encode())


def ids(type: str) -> list[str]:
    """The ids that resources of a type may have."""
    return _ids.get(type, [f"{type[0].lower()}{number}" for number in range(2)])


_tokens = ["1-8", f"{LOINC}|1-8", "|1-8", f"{LOINC}|", "2-6", f"{LOCAL}|x,1-8", "none"]
_identifying = ["1", f"{LOCAL}|1", "|1", f"{LOCAL}|", "2,urn:other|1"]
_names = ["smi", "Jones", "smith-j", "smithj", "muller", "MÜL", "o'b", "cruz", "la cr", "a-b", "ab", "bo y", "b c"]
_prefixed = [prefix + date for prefix in ("", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb") for date in _times]
_numbers = [
    prefix + number
    for prefix in ("", "ne", "gt", "lt", "ge", "le", "sa", "eb")
    for number in ("5.4", "5.40", "99.5", "100", "-3")
]
_units = ["", f"|{UCUM}|kg", f"|{UCUM}|mg", "||kg", "||stones", f"|{LOCAL}|g"]
_quantities = [f"{number}{unit}" for number in (*_numbers, "5400", "gt5399", "le0.0054") for unit in _units]
_subjects = ["p0", "Patient/p1", f"{HERE}Patient/p2", f"{THERE}Patient/p0", "Patient/p0/_history/1", "p1,p2"]
_missing = ["true", "false"]

_PARAMETERS: dict[str, dict[str, list[str]]] = {
    "Patient": {
        "active": _missing,
        "gender": [
            "male",
            "http://hl7.org/fhir/administrative-gender|female",
            "http://hl7.org/fhir/administrative-gender|",
        ],
        "birthdate": _prefixed,
        "name": _names,
        "family": _names,
        "family:contains": ["mit", "jones", "rien"],
        "family:exact": ["Smith", "smith", "Smith-Jones", "Müller"],
        "given": ["ann", "boy", "o"],
        "identifier": _identifying,
        "identifier:not": _identifying,
        "identifier:of-type": [f"{LOCAL}|MR|1", f"{LOCAL}|MR|2"],
        "identifier:text": ["record", "recordn"],
        "telecom": ["1", "a@b"],
        "organization": ["g0", "Organization/g1"],
        "organization.name": _names,
        "organization.partof": ["g0", "g1"],
        "organization.partof.name": _names,
        "_has:Observation:subject:code": _tokens,
        "_has:Observation:patient:code": _tokens,
        "_has:Observation:patient:_has:Observation:has-member:status": ["final"],
        "_has:Encounter:patient:date": _prefixed,
        "_id": ["p0", "p1,p2"],
        **{f"{code}:missing": _missing for code in ("name", "birthdate", "identifier", "organization")},
    },
    "Observation": {
        "status": [
            "final",
            "http://hl7.org/fhir/observation-status|preliminary",
            "http://hl7.org/fhir/observation-status|",
        ],
        "code": _tokens,
        "code:not": _tokens,
        "code:text": ["body", "body-w", "bodyw", "weight", "other"],
        "category": _tokens,
        "combo-code": _tokens,
        "subject": _subjects,
        "subject:Patient": ["p0", "Patient/p1"],
        "patient": _subjects,
        "subject:identifier": _identifying,
        "subject.name": _names,
        "subject:Patient.birthdate": _prefixed,
        "patient.organization.name": _names,
        "patient.identifier:not": _identifying,
        "has-member.code": _tokens,
        "date": _prefixed,
        "value-quantity": _quantities,
        **{f"{code}:missing": _missing for code in ("subject", "value-quantity", "category", "date")},
    },
    "Organization": {
        "name": _names,
        "name:contains": ["mit", "jones"],
        "partof": ["g0", "g1"],
        "partof.name": _names,
        "_has:Patient:organization:family": _names,
        "_has:Organization:partof:name": _names,
    },
    "ValueSet": {
        "url": [*_urls, "http://x.example/a|1", "http://x.example"],
        "url:below": ["http://x.example/a", "http://x.example"],
        "url:above": ["http://x.example/a/b/c", "http://x.example/ab"],
        "version": ["1", "1.1"],
        "date": _prefixed,
        "name": _names,
    },
    "Encounter": {"date": _prefixed, "patient.family": _names, "service-provider": ["g0"], "date:missing": _missing},
    "RiskAssessment": {"probability": _numbers, "probability:missing": _missing},
}
_SORTS = {
    "Patient": ["birthdate", "-birthdate", "family", "-name", "_id", "-_id", "gender", "-active", "organization"],
    "Observation": [
        "date",
        "-date",
        "_id",
        "code",
        "-status",
        "-category",
        "value-quantity",
        "-value-quantity",
        "subject",
    ],
    "Organization": ["name", "-name"],
    "ValueSet": ["date", "-name", "url", "-url", "version"],
    "Encounter": ["date", "-date", "-service-provider"],
    "RiskAssessment": ["probability", "-probability"],
}


_PAIRED = {
    "Observation": [
        ["code"],
        ["code", "value-quantity"],
        ["code", "value-quantity", "value-quantity"],
        ["code", "patient"],
    ],
    "Patient": [["_has:Observation:patient:code"], ["_has:Observation:patient:code", "name"]],
}
"""What resources have a code together with."""


@st.composite
def searches(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]], list[str]]:
    """A type, criteria and the keys of the sort."""
    type_ = draw(_from(list(TYPES)))
    parameters = _PARAMETERS[type_]
    names = draw(st.lists(_from(list(parameters)), min_size=0, max_size=3))
    names += names[:1] * draw(st.integers(0, 1))
    names += draw(_from([[], *_PAIRED.get(type_, [])]))
    pairs = [(name, draw(_from(parameters[name]))) for name in names]
    return type_, pairs, draw(st.lists(_from(_SORTS[type_]), max_size=2, unique=True))
