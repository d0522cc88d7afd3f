"""A population in order: each place, then the patients who are treated there, each with all that is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, islice
from typing import NamedTuple

import msgspec

from conformance.population.draws import Draws
from conformance.population.elements import Resource, profiles, resource, to
from conformance.population.findings import Visit
from conformance.population.patients import Person, patient
from conformance.population.places import Place
from conformance.population.visits import care, visit
from conformance.population.vocabulary import CORE, TERMINOLOGY

PATIENTS_OF_A_PLACE = 25
FIRST_YEAR, YEARS = 2010, 15  # when encounters are
_VISITS = (4, 20)  # of a patient, at least and at most

_encode = msgspec.json.Encoder().encode


class Generated(NamedTuple):
    """A resource; `content` is its JSON."""

    type: str
    id: str
    content: bytes


class Population:
    """All that follows from a seed. Nothing is kept: what is asked for is made.

    A core makes about 60,000 resources a second.
    """

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed

    def person(self, number: int) -> Person:
        """The patient of that number, from 0, without the resources."""
        return Person.of(self.seed, number)

    def place(self, number: int) -> Place:
        """The place of that number, from 0; the patient n is treated at place n // PATIENTS_OF_A_PLACE."""
        return Place.of(self.seed, number)

    def take(self, amount: int) -> Iterator[Generated]:
        """The first `amount` resources; where a reference leads out of them, to one that would have come later."""
        return islice(chain.from_iterable(map(self.patient, count())), amount)

    def patient(self, number: int) -> Iterator[Generated]:
        """What comes with one patient: the Patient first, of a new place after the place. About 170 resources."""
        return (
            Generated(str(made["resourceType"]), str(made["id"]), _encode(made)) for made in self._resources(number)
        )

    def _resources(self, number: int) -> Iterator[Resource]:
        place = self.place(number // PATIENTS_OF_A_PLACE)
        if number % PATIENTS_OF_A_PLACE == 0:
            yield from place.resources()
        person = self.person(number)
        draws = Draws("patient", self.seed, number)
        names: list[str] = []
        for made in _of_patient(person, place, draws):
            names.append(f"{made['resourceType']}/{made['id']}")
            yield made
        yield _provenance(place, draws, names)


def _of_patient(person: Person, place: Place, draws: Draws) -> Iterator[Resource]:
    yield patient(person, draws)
    fewest, most = _VISITS
    moments = draws.moments(fewest + draws.below(most - fewest), first_year=FIRST_YEAR, years=YEARS)
    for moment in moments:
        seen = Visit(draws.uuid(), person, place, draws.one(place.doctors), moment)
        yield from visit(seen, draws)
        if draws.chance(0.2):
            yield from care(seen, draws)


def _provenance(place: Place, draws: Draws, names: list[str]) -> Resource:
    """Who recorded all this."""
    author = place.doctors[0]
    agent: Resource = {"who": to("Practitioner", author.id), "onBehalfOf": to("Organization", place.organization)}
    role = {"coding": [{"system": f"{TERMINOLOGY}/provenance-participant-type", "code": "author"}]}
    return resource("Provenance", draws.uuid()) | {
        "meta": profiles(f"{CORE}/us-core-provenance"),
        "target": [{"reference": name} for name in names],
        "recorded": f"{FIRST_YEAR + YEARS}-06-01T09:00:00.000-05:00",
        "agent": [agent | {"type": role}],
    }
