"""Who gets care: a Patient, with five identifiers as Synthea gives them.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.population.draws import Draws
from conformance.population.elements import Resource, coding, concept, profiles, resource
from conformance.population.places import family_name
from conformance.population.vocabulary import CITIES, CORE, GIVEN, STREETS, SYNTHEA, TERMINOLOGY

_RACES = (("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian"))
_ETHNICITIES = (("2186-5", "Not Hispanic or Latino"), ("2135-2", "Hispanic or Latino"))
_MARITAL = (("M", "Married"), ("S", "Never Married"), ("D", "Divorced"), ("W", "Widowed"))
_SYSTEMS = (
    ("MR", "Medical Record Number", "http://hospital.smarthealthit.org"),
    ("SS", "Social Security Number", "http://hl7.org/fhir/sid/us-ssn"),
    ("DL", "Driver's License", "urn:oid:2.16.840.1.113883.4.3.25"),
    ("PPN", "Passport Number", "http://standardhealthrecord.org/fhir/StructureDefinition/passportNumber"),
)


@dataclass(frozen=True, slots=True)
class Person:
    """The patient number `number` of a population: what the patient's resources and searches for them need."""

    number: int
    id: str
    given: str
    family: str
    birth_year: int
    female: bool

    @classmethod
    def of(cls, seed: int, number: int) -> Person:
        """All of it follows from seed and number."""
        draws = Draws("person", seed, number)
        return cls(
            number=number,
            id=draws.uuid(),
            given=draws.one(GIVEN),
            family=family_name(draws),
            birth_year=1930 + draws.below(90),
            female=draws.chance(0.5),
        )

    @property
    def display(self) -> str:
        return f"{'Ms.' if self.female else 'Mr.'} {self.given} {self.family}"

    @property
    def reference(self) -> Resource:
        return {"reference": f"Patient/{self.id}"}

    @property
    def record_number(self) -> str:
        """The value of the identifier of type MR."""
        return f"MR-{self.number:08}"


def patient(person: Person, draws: Draws) -> Resource:
    """The Patient."""
    city = draws.one(CITIES)
    values = (
        person.record_number,
        f"999-{person.number % 100:02}-{person.number % 10_000:04}",
        f"S99{person.number:07}",
        f"X{person.number:08}X",
    )
    names: list[Resource] = [
        {"use": "official", "family": person.family, "given": [person.given, draws.one(GIVEN)], "prefix": ["Ms."]}
    ]
    if not person.female:
        names[0]["prefix"] = ["Mr."]
    elif draws.chance(0.3):
        names.append({"use": "maiden", "family": family_name(draws), "given": [person.given], "prefix": ["Mrs."]})
    return resource("Patient", person.id) | {
        "meta": profiles(f"{CORE}/us-core-patient"),
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{person.display}, born {person.birth_year}, number '
            f"{person.number} of a made-up population.</div>",
        },
        "extension": [
            _us_core("race", draws.common(_RACES)),
            _us_core("ethnicity", draws.common(_ETHNICITIES)),
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName",
                "valueString": f"{draws.one(GIVEN)} {family_name(draws)}",
            },
            {"url": f"{CORE}/us-core-birthsex", "valueCode": "F" if person.female else "M"},
            {
                "url": "http://hl7.org/fhir/StructureDefinition/patient-birthPlace",
                "valueAddress": {"city": city, "state": "Massachusetts", "country": "US"},
            },
            {
                "url": "http://synthetichealth.github.io/synthea/quality-adjusted-life-years",
                "valueDecimal": draws.between(1, 80, digits=6),
            },
        ],
        "identifier": [
            {"system": SYNTHEA, "value": person.id},
            *(
                {"type": concept(f"{TERMINOLOGY}/v2-0203", (code, text)), "system": system, "value": value}
                for (code, text, system), value in zip(_SYSTEMS, values, strict=True)
            ),
        ],
        "name": names,
        "telecom": [
            {"system": "phone", "value": f"555-{draws.below(900) + 100}-{draws.below(9000) + 1000}", "use": "home"}
        ],
        "gender": "female" if person.female else "male",
        "birthDate": f"{person.birth_year}-{1 + draws.below(12):02}-{1 + draws.below(28):02}",
        **_deceased(person, draws),
        "address": [
            {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/geolocation",
                        "extension": [
                            {"url": "latitude", "valueDecimal": draws.between(41.5, 42.8, digits=12)},
                            {"url": "longitude", "valueDecimal": draws.between(-73.2, -70.1, digits=12)},
                        ],
                    }
                ],
                "line": [f"{1 + draws.below(990)} {draws.one(STREETS)}"],
                "city": city,
                "state": "MA",
                "postalCode": f"0{1000 + draws.below(1700)}",
                "country": "US",
            }
        ],
        "maritalStatus": concept(f"{TERMINOLOGY}/v3-MaritalStatus", draws.common(_MARITAL)),
        "multipleBirthBoolean": False,
        "communication": [{"language": concept("urn:ietf:bcp:47", ("en-US", "English"))}],
    }


def _us_core(name: str, term: tuple[str, str]) -> Resource:
    return {
        "url": f"{CORE}/us-core-{name}",
        "extension": [
            {"url": "ombCategory", "valueCoding": coding("urn:oid:2.16.840.1.113883.6.238", term)},
            {"url": "text", "valueString": term[1]},
        ],
    }


def _deceased(person: Person, draws: Draws) -> Resource:
    if person.birth_year < 1960 and draws.chance(0.4):
        return {"deceasedDateTime": f"2025-{1 + draws.below(12):02}-{1 + draws.below(28):02}T07:01:24-05:00"}
    return {}
