"""Finds the matches of the criteria of conditional entries and of references by search, each criteria once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.results import refuse_more, refuse_more_requests
from fhirstore.bundles.workers import side_by_side
from fhirstore.commit.drive import drive
from fhirstore.errors import FhirStoreError
from fhirstore.fhir.definitions.load import definitions
from fhirstore.interactions import resources
from fhirstore.objects.wrappers.read_counter import ReadCounter
from fhirstore.search.candidates import find_or_be_sure
from fhirstore.search.criteria import Criteria, parse_condition
from fhirstore.tenancy import Place
from fhirstore.version import Version, version_of

Question: TypeAlias = tuple[str, str]
"""A resource type, and criteria as in a URL."""


@dataclass(frozen=True, slots=True)
class Found:
    """The criteria, and their first few matches."""

    criteria: Criteria
    matches: tuple[Version, ...]


Answers: TypeAlias = dict[Question, Found | FhirStoreError]


async def look_up(
    place: Place,
    questions: Iterable[Question],
    *,
    besides: Mapping[str, int],
    options: BundleOptions,
    release: str = "4.0",
    seeing: Callable[[Criteria], Criteria] = lambda criteria: criteria,
) -> Answers:
    """Returns the matches for each of the questions, or the error in looking for them. `release`: of FHIR. `seeing`:
    restricts criteria to what may be seen; raises FhirStoreError.

    It returns two matches if there are several, and as many more as `besides` says for the type: the caller will leave
    out that many.
    """
    objects = ReadCounter(place.objects)
    place = Place(place.tenant, objects, place.keys)
    distinct = list(dict.fromkeys(questions))
    answers: Answers = {}
    brought = 0

    async def answer(question: Question) -> None:
        nonlocal brought
        try:
            refuse_more(brought, options.max_read)
            refuse_more_requests(objects.reads, options.max_requests)
            criteria = seeing(_criteria(question, release))
            answers[question] = found = await _found(place, criteria, 2 + besides.get(question[0], 0))
            brought += sum(len(match.content) for match in found.matches)
        except FhirStoreError as error:
            answers[question] = error

    await side_by_side(distinct, answer, at_once=min(options.at_once, len(distinct)))
    return answers


def _criteria(question: Question, release: str) -> Criteria:
    type_, text = question
    return parse_condition(resources.known_type(type_, definitions(release).resources), text, release=release)


async def _found(place: Place, criteria: Criteria, most: int) -> Found:
    matches = await drive(find_or_be_sure(place.keys, criteria, most=most), place.objects)
    versions = [
        version_of(match.keys.type, match.keys.id, match.base.record)
        for match in matches
        if match.base.record is not None
    ]
    return Found(criteria, tuple(versions))
