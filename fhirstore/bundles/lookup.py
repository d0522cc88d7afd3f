"""Finds the matches of the criteria of conditional entries and of references by search, each criteria once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.results import refuse_more, refuse_more_requests
from fhirstore.bundles.workers import side_by_side
from fhirstore.commit.drive import drive
from fhirstore.errors import FhirStoreError
from fhirstore.objects.wrappers.read_counter import ReadCounter
from fhirstore.search.conditional.candidates import find_or_be_sure, versions_of
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.tenancy import Place
from fhirstore.version import Version

Question: TypeAlias = tuple[str, str]
"""A resource type, and criteria as in a URL."""


@dataclass(frozen=True, slots=True)
class Found:
    """The criteria, which know the versions that match, and the first few of these."""

    criteria: Criteria
    matches: tuple[Version, ...]


Condition: TypeAlias = Callable[[str, str], Awaitable[Criteria]]
"""Returns the criteria of a question, of what is seen. Raises FhirStoreError."""

Answers: TypeAlias = dict[Question, Found | FhirStoreError]


async def look_up(
    place: Place,
    questions: Iterable[Question],
    *,
    besides: Mapping[str, int],
    options: BundleOptions,
    condition: Condition,
) -> Answers:
    """Returns the matches for each of the questions, or the error in looking for them. `condition`: reads them.

    It returns two matches if there are several, and as many more as `besides` says for the type: the caller will leave
    out that many.
    """
    objects = ReadCounter(place.objects)
    place = replace(place, objects=objects)
    distinct = list(dict.fromkeys(questions))
    answers: Answers = {}
    brought = 0

    async def answer(question: Question) -> None:
        nonlocal brought
        try:
            refuse_more(brought, options.max_read)
            refuse_more_requests(objects.reads, options.max_requests)
            criteria = await condition(*question)
            answers[question] = found = await _found(place, criteria, 2 + besides.get(question[0], 0))
            brought += sum(len(match.content) for match in found.matches)
        except FhirStoreError as error:
            answers[question] = error

    await side_by_side(distinct, answer, at_once=min(options.at_once, len(distinct)))
    return answers


async def _found(place: Place, criteria: Criteria, most: int) -> Found:
    matches = await drive(find_or_be_sure(place.keys, criteria, most=most), place.objects)
    for match in matches:
        criteria = criteria.knowing(match.keys.id, match.version)
    return Found(criteria, versions_of(matches))
