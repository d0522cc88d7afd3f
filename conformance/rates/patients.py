"""The resource that every measurement sends: a Patient of 2 KB, as a clinic would store it, with invented data.

Each has a serial number in a telephone number, so no two are equal, and all have the same length. A plain one has no
identifiers, which cost requests of their own; a registered one has three, of three systems.
https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

SERIAL = b"@serial-number@@"  # 16 bytes, where the serial number goes
RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
CONTACT_ROLE = "http://terminology.hl7.org/CodeSystem/v2-0131"
_CONTACT = [
    {
        "relationship": [{"coding": [{"system": CONTACT_ROLE, "code": "N"}]}],
        "name": {"family": "Ødegård", "given": ["Nils"]},
        "telecom": [{"system": "phone", "value": "555-0163"}],
    }
]


def patients() -> Iterator[bytes]:
    """Plain Patients without an id, for ever; those of one call differ from those of any other."""
    second = {
        "relationship": [{"coding": [{"system": CONTACT_ROLE, "code": "C", "display": "Emergency Contact"}]}],
        "name": {"use": "official", "family": "Lindqvist", "given": ["Astrid", "Sofie"]},
        "telecom": [
            {"system": "phone", "value": "555-0119", "use": "work"},
            {"system": "email", "value": "astrid.lindqvist@mail.example", "use": "work"},
        ],
        "address": {"use": "home", "line": ["9 Quay Road"], "city": "Boston", "state": "MA", "postalCode": "02125"},
        "gender": "female",
    }
    return _numbered({"contact": [*_CONTACT, second]})


def registered_patients() -> Iterator[bytes]:
    """The same with three identifiers, instead of a second contact."""
    identifiers = [
        _identifier("MR", "Medical record number", "https://clinic.example/mrn", SERIAL.decode()),
        _identifier("SS", "Social Security number", "http://hl7.org/fhir/sid/us-ssn", SERIAL.decode()),
        _identifier("DL", "Driver's license number", "urn:oid:2.16.840.1.113883.4.3.25", "S99945122"),
    ]
    return _numbered({"identifier": identifiers, "contact": _CONTACT})


def with_id(patient: bytes, id: str) -> bytes:
    """The same Patient as an update needs it."""
    return b'{"id":"%s",' % id.encode() + patient[1:]


def _numbered(more: dict[str, object]) -> Iterator[bytes]:
    pieces = _template(more).split(SERIAL)
    batch, serial = secrets.token_hex(4).encode(), 0
    while True:
        number = b"%s%08d" % (batch, serial)
        yield number.join(pieces)
        serial += 1


def _template(more: dict[str, object]) -> bytes:
    patient = {
        "resourceType": "Patient",
        "extension": [
            {
                "url": RACE,
                "extension": [
                    {
                        "url": "ombCategory",
                        "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"},
                    },
                    {"url": "text", "valueString": "White"},
                ],
            }
        ],
        "active": True,
        "name": [
            {"use": "official", "family": "Ødegård", "given": ["Ingrid", "Marie"], "prefix": ["Ms."]},
            {"use": "usual", "given": ["Inga"]},
            {"use": "maiden", "family": "Lindqvist", "given": ["Ingrid", "Marie"], "period": {"end": "2009-06-20"}},
        ],
        "telecom": [
            {"system": "phone", "value": SERIAL.decode(), "use": "home"},
            {"system": "phone", "value": "555-0177", "use": "mobile", "rank": 1},
            {"system": "email", "value": "ingrid@mail.example", "use": "home"},
        ],
        "gender": "female",
        "birthDate": "1981-03-14",
        "deceasedBoolean": False,
        "address": [
            {
                "extension": [
                    {
                        "url": GEOLOCATION,
                        "extension": [
                            {"url": "latitude", "valueDecimal": 42.30},
                            {"url": "longitude", "valueDecimal": -71.06},
                        ],
                    }
                ],
                "use": "home",
                "line": ["742 Harbor View Street", "Unit 31"],
                "city": "Boston",
                "state": "MA",
                "postalCode": "02124",
                "country": "US",
            }
        ],
        "maritalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-MaritalStatus", "code": "M"}]
        },
        "multipleBirthBoolean": False,
        "communication": [
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "nb-NO"}]}, "preferred": True}
        ],
        **more,
    }
    return json.dumps(patient, ensure_ascii=False, separators=(",", ":")).encode()


def _identifier(code: str, text: str, system: str, value: str) -> dict[str, object]:
    return {
        "type": {"coding": [{"system": IDENTIFIER_TYPE, "code": code}], "text": text},
        "system": system,
        "value": value,
    }
