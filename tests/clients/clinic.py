"""A clinic that clients search: 12 patients of two doctors, each with two observations and a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.server.processes import served

LOINC = "http://loinc.org"
HEART_RATE, WEIGHT = "8867-4", "29463-7"
PATIENTS = 12
_FAMILIES = ("Müller", "Ng", "O'Brien", "Smith, Jr.")

Resource = Mapping[str, object]


def resources() -> Iterator[Resource]:
    """Yields the resources, targets of references first."""
    yield {"resourceType": "Organization", "id": "clinic", "name": "Clinic & Sons"}
    for id_ in ("ada", "bob"):
        yield {"resourceType": "Practitioner", "id": id_, "name": [{"family": id_.title()}]}
    for n in range(PATIENTS):
        yield _patient(n)
        yield _observation(n, HEART_RATE, {"value": 60 + n, "unit": "/min", "code": "/min"})
        yield _observation(n, WEIGHT, {"value": 50 + n, "unit": "kg", "code": "kg"})
        yield {"resourceType": "Condition", "id": f"c{n}", "subject": {"reference": f"Patient/p{n:02}"}}


def _patient(n: int) -> Resource:
    return {
        "resourceType": "Patient",
        "id": f"p{n:02}",
        "identifier": [{"system": "http://example.org/mrn", "value": str(n)}],
        "active": n % 3 != 0,
        "name": [{"family": _FAMILIES[n % len(_FAMILIES)], "given": [f"Given{n}"]}],
        "gender": "female" if n % 2 else "male",
        "birthDate": f"{1950 + n}-06-15",
        "generalPractitioner": [{"reference": "Practitioner/ada" if n < 4 else "Practitioner/bob"}],
        "managingOrganization": {"reference": "Organization/clinic"},
    }


def _observation(n: int, code: str, quantity: Mapping[str, object]) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"o{n:02}-{code}",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/p{n:02}"},
        "performer": [{"reference": "Practitioner/ada"}],
        "effectiveDateTime": f"2024-03-{n + 1:02}T10:00:00+01:00",
        "valueQuantity": {"system": "http://unitsofmeasure.org", **quantity},
    }


@contextmanager
def clinic(folder: Path, **env: str) -> Iterator[str]:
    """Serves the clinic from an embedded store in the folder; yields the base URL."""
    with served({"FHIRSTORE_STORE": f"file:{folder / 'data'}", **env}) as server:
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in resources()
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        answer = httpx.post(server.base_url, json=bundle, timeout=60)
        assert answer.status_code == 200, answer.text
        yield server.base_url
