"""Where care is given: an Organization with a Location and the Practitioners who work there.

https://hl7.org/fhir/R4/organization.html · https://hl7.org/fhir/R4/practitioner.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.population.draws import Draws
from conformance.population.elements import Resource, concept, profiles, resource
from conformance.population.vocabulary import (
    CITIES,
    CORE,
    FAMILY_BEGINS,
    FAMILY_ENDS,
    GIVEN,
    NPI,
    STREETS,
    SYNTHEA,
    TERMINOLOGY,
)

DOCTORS = 4


@dataclass(frozen=True, slots=True)
class Doctor:
    """A practitioner, and the id of the PractitionerRole."""

    id: str
    role: str
    npi: str
    given: str
    family: str

    @property
    def display(self) -> str:
        return f"Dr. {self.given} {self.family}"

    @property
    def reference(self) -> Resource:
        return {"reference": f"Practitioner/{self.id}", "display": self.display}


@dataclass(frozen=True, slots=True)
class Place:
    """A hospital or practice, number `number` of the population."""

    organization: str
    location: str
    name: str
    city: str
    street: str
    doctors: tuple[Doctor, ...]

    @classmethod
    def of(cls, seed: int, number: int) -> Place:
        """The place; all of it follows from seed and number."""
        draws = Draws("place", seed, number)
        city = draws.one(CITIES)
        return cls(
            organization=draws.uuid(),
            location=draws.uuid(),
            name=f"{city} {draws.one(('Medical Center', 'Hospital', 'Family Practice', 'Health Associates'))} {number}",
            city=city,
            street=f"{1 + draws.below(900)} {draws.one(STREETS)}",
            doctors=tuple(
                Doctor(
                    id=draws.uuid(),
                    role=draws.uuid(),
                    npi=f"{9_000_000_000 + number * DOCTORS + n}",
                    given=draws.one(GIVEN),
                    family=family_name(draws),
                )
                for n in range(DOCTORS)
            ),
        )

    @property
    def organization_reference(self) -> Resource:
        return {"reference": f"Organization/{self.organization}", "display": self.name}

    @property
    def location_reference(self) -> Resource:
        return {"reference": f"Location/{self.location}", "display": self.name}

    def resources(self) -> Iterator[Resource]:
        """The Organization, its Location, its Practitioners with their roles."""
        phone = [{"system": "phone", "value": f"617-555-{len(self.name):04}"}]
        address: Resource = {
            "line": [self.street],
            "city": self.city,
            "state": "MA",
            "postalCode": f"0{1000 + len(self.street) * 7}",
            "country": "US",
        }
        yield resource("Organization", self.organization) | {
            "meta": profiles(f"{CORE}/us-core-organization"),
            "identifier": [{"system": SYNTHEA, "value": self.organization}],
            "active": True,
            "type": [concept(f"{TERMINOLOGY}/organization-type", ("prov", "Healthcare Provider"))],
            "name": self.name,
            "telecom": phone,
            "address": [address],
        }
        yield resource("Location", self.location) | {
            "meta": profiles(f"{CORE}/us-core-location"),
            "identifier": [{"system": SYNTHEA, "value": self.location}],
            "status": "active",
            "name": self.name,
            "telecom": phone,
            "address": address,
            "position": {"longitude": -71.4, "latitude": 42.3},
            "managingOrganization": self.organization_reference,
        }
        for doctor in self.doctors:
            yield from self._doctor(doctor, address)

    def _doctor(self, doctor: Doctor, address: Resource) -> Iterator[Resource]:
        email = f"{doctor.npi}@mail.example"
        yield resource("Practitioner", doctor.id) | {
            "meta": profiles(f"{CORE}/us-core-practitioner"),
            "identifier": [{"system": NPI, "value": doctor.npi}],
            "active": True,
            "name": [{"family": doctor.family, "given": [doctor.given], "prefix": ["Dr."]}],
            "telecom": [{"system": "email", "value": email, "use": "work"}],
            "address": [address],
            "gender": "female" if len(doctor.given) % 2 else "male",
        }
        practice = concept("http://nucc.org/provider-taxonomy", ("208D00000X", "General Practice"))
        yield resource("PractitionerRole", doctor.role) | {
            "meta": profiles(f"{CORE}/us-core-practitionerrole"),
            "practitioner": doctor.reference,
            "organization": self.organization_reference,
            "code": [practice],
            "specialty": [practice],
            "location": [self.location_reference],
            "telecom": [{"system": "email", "value": email, "use": "work"}],
        }


def family_name(draws: Draws) -> str:
    """One of some six hundred."""
    return draws.one(FAMILY_BEGINS) + draws.one(FAMILY_ENDS)
