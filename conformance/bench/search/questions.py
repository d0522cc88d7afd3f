"""The searches that are measured. Each kind asks for something else each time, all of it in the population.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from conformance.population.draws import Draws
from conformance.population.patients import Person
from conformance.population.population import FIRST_YEAR, YEARS, Population
from conformance.population.vocabulary import CONDITIONS, FAMILY_BEGINS, LOINC, METABOLIC, SINGLE_LABS, SNOMED, UCUM

VARIANTS = 400  # of each kind, asked round and round
_LABS = (*SINGLE_LABS, *METABOLIC)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What variants are drawn from. `patients`: how many are stored whole. `began`, `ended`: of filling, instants."""

    population: Population
    patients: int
    began: str
    ended: str

    def person(self, draws: Draws) -> Person:
        """Any patient who is stored."""
        return self.population.person(draws.below(self.patients))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of search. `path`: below the base, of one variant.

    `counts`: it counts everything, so that no time is promised for it.
    """

    name: str
    path: Callable[[Drawing, Draws], str]
    counts: bool = False

    def variants(self, drawing: Drawing) -> list[str]:
        """The paths of all variants, always the same for the same data."""
        draws = Draws("searches", drawing.population.seed, self.name)
        return [self.path(drawing, draws) for _ in range(VARIANTS)]


def _token(system: str, code: str) -> str:
    return quote(f"{system}|{code}", safe="")


def _lab(draws: Draws) -> str:
    return _token(LOINC, draws.one(_LABS).code)


def _family(drawing: Drawing, draws: Draws) -> str:
    return quote(drawing.person(draws).family)


def _condition(draws: Draws) -> str:
    return _token(SNOMED, draws.one(CONDITIONS)[0])


def _dates(name: str, draws: Draws) -> str:
    first = FIRST_YEAR + draws.below(YEARS - 5)
    return f"{name}=ge{first}&{name}=lt{first + 5}"


def _range(draws: Draws) -> str:
    measured = draws.one(METABOLIC)
    middle = draws.between(measured.low, measured.high, digits=2)
    width = (measured.high - measured.low) / 50
    unit = quote(f"|{UCUM}|{measured.unit}", safe="")
    return (
        f"code={_token(LOINC, measured.code)}&value-quantity=ge{middle:.2f}{unit}"
        f"&value-quantity=lt{middle + width:.2f}{unit}"
    )


KINDS = (
    Kind("read, as a yardstick", lambda data, draws: f"/Patient/{data.person(draws).id}"),
    Kind("_id", lambda data, draws: f"/Patient?_id={data.person(draws).id}"),
    Kind(
        "identifier",
        lambda data, draws: (
            "/Patient?identifier=" + _token("http://hospital.smarthealthit.org", data.person(draws).record_number)
        ),
    ),
    Kind("code", lambda data, draws: f"/Observation?code={_lab(draws)}&_count=20"),
    Kind("patient", lambda data, draws: f"/Observation?patient={data.person(draws).id}&_count=20"),
    Kind("patient + code", lambda data, draws: f"/Observation?patient={data.person(draws).id}&code={_lab(draws)}"),
    Kind(
        "patient + category + dates, sorted",
        lambda data, draws: (
            f"/Observation?patient={data.person(draws).id}&category=vital-signs"
            f"&{_dates('date', draws)}&_sort=-date&_count=20"
        ),
    ),
    Kind("code, sorted by date", lambda data, draws: f"/Observation?code={_lab(draws)}&_sort=-date&_count=20"),
    Kind("type, sorted by date", lambda data, draws: "/Encounter?_sort=-date&_count=20"),
    Kind(
        "chain: subject.name",
        lambda data, draws: f"/Condition?subject:Patient.name={_family(data, draws)}&_count=20",
    ),
    Kind(
        "_has",
        lambda data, draws: (
            f"/Patient?_has:Condition:patient:code={_condition(draws)}"
            f"&family={quote(draws.one(FAMILY_BEGINS))}&_count=20"
        ),
    ),
    Kind(
        "_include",
        lambda data, draws: (
            f"/Observation?patient={data.person(draws).id}&category=laboratory&_include=Observation:encounter&_count=20"
        ),
    ),
    Kind(
        "_revinclude",
        lambda data, draws: f"/Patient?_id={data.person(draws).id}&_revinclude=Condition:patient",
    ),
    Kind(":missing", lambda data, draws: f"/Condition?code={_condition(draws)}&abatement-date:missing=true&_count=20"),
    Kind(
        "string prefix",
        lambda data, draws: f"/Patient?family={quote(data.person(draws).family[:5])}&_count=20",
    ),
    Kind("value-quantity range", lambda data, draws: f"/Observation?{_range(draws)}&_count=20"),
    Kind("count only", lambda data, draws: f"/Observation?code={_lab(draws)}&_summary=count", counts=True),
    Kind(
        "system-wide _lastUpdated",
        lambda data, draws: f"/?_lastUpdated=ge{quote(data.began)}&_lastUpdated=le{quote(data.ended)}&_count=20",
    ),
    Kind("$everything", lambda data, draws: f"/Patient/{data.person(draws).id}/$everything?_count=20"),
)
