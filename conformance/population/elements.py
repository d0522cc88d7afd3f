"""Elements that many resources have, as the values that JSON is made of."""

from __future__ import annotations

from typing import TypeAlias

from conformance.population.vocabulary import LOINC, TERMINOLOGY, UCUM, Measured, Term

Resource: TypeAlias = dict[str, object]


def resource(type_: str, id_: str) -> Resource:
    """The beginning of a resource."""
    return {"resourceType": type_, "id": id_}


def profiles(*urls: str) -> Resource:
    """A meta that claims these profiles."""
    return {"profile": list(urls)}


def coding(system: str, term: Term) -> Resource:
    return {"system": system, "code": term[0], "display": term[1]}


def concept(system: str, term: Term) -> Resource:
    """A CodeableConcept of one coding, with its display as the text."""
    return {"coding": [coding(system, term)], "text": term[1]}


def code_of(system: str, code: str) -> Resource:
    """A CodeableConcept of a code alone."""
    return {"coding": [{"system": f"{TERMINOLOGY}/{system}", "code": code}]}


def loinc(measured: Measured) -> Resource:
    return concept(LOINC, (measured.code, measured.display))


def quantity(measured: Measured, value: float) -> Resource:
    return {"value": value, "unit": measured.unit, "system": UCUM, "code": measured.unit}


def money(value: float) -> Resource:
    return {"value": value, "currency": "USD"}


def to(type_: str, id_: str) -> Resource:
    """A reference."""
    return {"reference": f"{type_}/{id_}"}
