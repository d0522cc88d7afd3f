"""Models of fhir.resources go in and come out at the library's edge, digit for digit, and never on the write path."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from fhir.resources.observation import Observation as R5Observation
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient

from fhirstore import FhirStore
from fhirstore.errors import Unsupported
from fhirstore.fhir import json
from fhirstore.fhir.models import members, model_of

EXAMPLES = (Path(__file__).parents[1] / "data" / "r4-examples.ndjson").read_bytes().splitlines()

OBSERVATION = (
    b'{"resourceType":"Observation","status":"final","_status":{"id":"s"},"code":{"text":"x"},'
    b'"issued":"2020-01-02T03:04:05.060Z","effectiveDateTime":"2020-01","valueQuantity":{"value":1.00}}'
)


async def test_a_model_can_be_stored_and_read_back() -> None:
    """create and update take a model; read and vread give one with `as_model`, with the server's id and meta."""
    async with FhirStore.open("memory:") as store:
        clinic = store.tenant("default")
        created = await clinic.create(Patient(active=True, birthDate=date(2020, 2, 3)))
        patient = await clinic.read("Patient", created.id, as_model=Patient)
        assert patient.meta is not None
        assert (patient.id, patient.active, patient.meta.versionId) == (created.id, True, "1")
        patient.active = False
        updated = await clinic.update(patient, if_match=1)
        assert updated.json()["birthDate"] == "2020-02-03"
        first = await clinic.vread("Patient", created.id, 1, as_model=True)
        assert isinstance(first, Patient)
        assert first.active is True
        assert isinstance(await clinic.vread("Patient", created.id, 2, as_model=Patient), Patient)


def test_decimals_keep_their_digits_and_dates_their_precision() -> None:
    """fhir.resources itself writes 1.00 as 1.0; extensions of primitives stay beside their elements."""
    model = model_of(json.parse(OBSERVATION), Observation)
    assert model.valueQuantity is not None
    assert str(model.valueQuantity.value) == "1.00"
    assert json.parse(json.dump(members(model))) == json.parse(OBSERVATION)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC), "2020-01-02T03:04:05Z"),
        (datetime(2020, 1, 2, 3, 4, 5, 60_000, tzinfo=UTC), "2020-01-02T03:04:05.060Z"),
        (datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2020-01-02T03:04:05.000006Z"),
        ("2020-01-02T03:04:05+02:00", "2020-01-02T03:04:05+02:00"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60Z"),
    ],
)
def test_times_are_written_as_fhir_writes_them(moment: object, text: str) -> None:
    """With a zone, and with no more digits than the second has."""
    model = Observation.model_validate({"status": "final", "code": {"text": "x"}, "issued": moment})
    assert members(model)["issued"] == text


def test_base64_is_written_as_base64() -> None:
    """What a model holds decoded is encoded again."""
    resource = json.parse(b'{"resourceType":"Patient","photo":[{"data":"+/9oaQ=="}]}')
    assert members(model_of(resource, Patient)) == resource


@pytest.mark.slow
def test_the_examples_survive_the_way_through_a_model() -> None:
    """All that fhir.resources knows, to the character, but for UTC, which is written Z."""
    known = 0
    for line in EXAMPLES:
        resource = json.parse(line)
        try:
            model = model_of(resource, True)
        except Unsupported:
            continue
        known += 1
        assert _sorted(json.parse(json.dump(members(model)))) == _sorted(json.parse(line.replace(b"+00:00", b"Z")))
    assert known >= 150


def _sorted(value: object) -> object:
    """Members by name; number literals as text."""
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return Decimal(bytes(value).decode()).as_tuple() if isinstance(value, json.NumberLiteral) else value


def test_the_package_depends_on_the_release() -> None:
    """R4 and R4B are read as fhir.resources.R4B, R5 as fhir.resources."""
    resource = json.parse(OBSERVATION)
    assert type(model_of(resource, True, release="4.0")) is Observation
    assert type(model_of(resource, True, release="4.3")) is Observation
    assert type(model_of(resource, True, release="5.0")) is R5Observation


def test_what_has_no_model_is_said_so_without_its_content() -> None:
    """A type of R4 that R4B dropped, and legal R4 that R4B does not know: the place is named, the value is not."""
    with pytest.raises(Unsupported, match="no model for MedicinalProduct;"):
        model_of({"resourceType": "MedicinalProduct"}, True)
    with pytest.raises(Unsupported, match=r"Patient refuses this resource at \?, gender") as raised:
        model_of({"resourceType": "Patient", "gender": 17, "secret name": "secret value"}, True)
    assert "secret" not in str(raised.value)
    assert "17" not in str(raised.value)


@pytest.mark.slow
def test_the_server_never_imports_fhir_resources() -> None:
    """Starting, writing and reading over HTTP leaves it unloaded."""
    script = """
import asyncio, sys
from tests.server.serving import FHIR_JSON, serving
async def run():
    async with serving() as served:
        body = b'{"resourceType":"Patient","id":"p"}'
        for method in ("PUT", "GET"):
            answer = await served.client.request(method, "/fhir/Patient/p", content=body, headers=FHIR_JSON)
            assert answer.status_code in (200, 201), answer.text
asyncio.run(run())
print([name for name in sys.modules if name.startswith(("fhir.resources", "fhir_core"))])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
