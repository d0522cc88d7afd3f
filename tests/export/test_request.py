"""What a client asks is checked once. What cannot be met is refused; if the request is lenient, left out and told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fhirstore import ExportRequest, InvalidResource, UnknownType, Unsupported
from fhirstore.errors import FhirError
from fhirstore.export.request import LATEST, RELEVANT, Plan, check, compartment_types
from fhirstore.fhir.definitions.load import definitions

AT = 1_700_000_000_000


def checked(request: ExportRequest) -> Plan:
    """The plan."""
    return check(request, definitions(), at=AT)


def test_without_types_all_that_are_stored_are_exported() -> None:
    """At the other levels, all of the Patient compartment, Patient first."""
    assert checked(ExportRequest()).types is None
    types = checked(ExportRequest(level="patient")).types
    assert types is not None
    assert types[0] == "Patient"
    assert set(types) == compartment_types(definitions())


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (ExportRequest(types=["Patient", "Pateint"]), UnknownType),
        (ExportRequest(types=["Receipt"]), UnknownType),
        (ExportRequest(level="patient", types=["Organization", "Medication"]), InvalidResource),
        (ExportRequest(since=AT + 1), InvalidResource),
        (ExportRequest(since=AT - 5, until=AT - 5), InvalidResource),
        (ExportRequest(type_filters=["Patient"]), InvalidResource),
        (ExportRequest(type_filters=["Patient?nonsense=1"]), InvalidResource),
        (ExportRequest(type_filters=["Patient?_sort=name"]), InvalidResource),
        (ExportRequest(type_filters=["Patient?general-practitioner.name=x"]), Unsupported),
        (ExportRequest(elements=["name.family"]), InvalidResource),
        (ExportRequest(types=["Patient"], elements=["status"]), InvalidResource),
        (ExportRequest(elements=["Pateint.name"]), UnknownType),
        (ExportRequest(patients=["a"]), InvalidResource),
        (ExportRequest(level="patient", patients=["Group/a"]), InvalidResource),
        (ExportRequest(level="patient", group="g"), InvalidResource),
        (ExportRequest(level="group"), InvalidResource),
        (ExportRequest(level="group", group="a b"), InvalidResource),
        (ExportRequest(include_associated=["_mine"]), Unsupported),
        (ExportRequest(organize_by="Encounter"), Unsupported),
        (ExportRequest(organize_by="Encuonter"), UnknownType),
        (ExportRequest(types="Patient"), InvalidResource),
        (ExportRequest(level="patient", patients=["p"] * 10_001), InvalidResource),
    ],
    ids=repr,
)
def test_what_cannot_be_met_is_refused(wrong: ExportRequest, error: type[FhirError]) -> None:
    """With an error that names the parameter."""
    with pytest.raises(error) as refused:
        checked(wrong)
    assert str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        ExportRequest(types=["Patient", "Pateint"]),
        ExportRequest(type_filters=["Patient?nonsense=1"]),
        ExportRequest(elements=["name.family"]),
        ExportRequest(include_associated=["_mine"]),
        ExportRequest(organize_by="Encounter"),
    ],
    ids=repr,
)
def test_a_lenient_request_goes_on_and_tells(wrong: ExportRequest) -> None:
    """One warning for the parameter that was left out."""
    plan = checked(replace(wrong, lenient=True))
    (issue,) = plan.issues
    assert issue.severity == "warning"
    assert "was left out" in issue.diagnostics
    assert (plan.filters, plan.elements, plan.associated, plan.organize_by) == ((), (), "", None)


def test_a_lenient_request_never_exports_more() -> None:
    """Where none of the types is known, leaving them out would mean all types."""
    with pytest.raises(UnknownType):
        checked(ExportRequest(types=["Pateint"], lenient=True))


def test_types_outside_the_compartment_are_told_and_left_out() -> None:
    """Clients ask for many types at once."""
    plan = checked(ExportRequest(level="patient", types=["Organization", "Observation", "Patient"]))
    assert plan.types == ("Patient", "Observation")
    assert [(issue.severity, "Organization" in issue.diagnostics) for issue in plan.issues] == [("information", True)]


def test_a_filter_that_is_encoded_twice_is_read() -> None:
    """Some clients encode the value of the parameter, and the whole again."""
    assert checked(ExportRequest(type_filters=["Patient%3Factive%3Dtrue"])).filters == ("Patient?active=true",)
    assert checked(ExportRequest(type_filters=["Observation?category=a%2Cb"])).filters == (
        "Observation?category=a%2Cb",
    )


def test_the_least_restrictive_value_counts() -> None:
    """Of conflicting values of includeAssociatedData."""
    assert checked(ExportRequest(include_associated=[LATEST])).associated == LATEST
    assert checked(ExportRequest(include_associated=[LATEST, RELEVANT])).associated == RELEVANT
