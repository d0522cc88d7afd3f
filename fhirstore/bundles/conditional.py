"""The conditional entries of a transaction: their questions, their plans, and the claims they need.

https://hl7.org/fhir/R4/http.html#ccreate · #cond-update
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import replace

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.guard import Wanted
from fhirstore.bundles.lookup import Answers, Found, Question
from fhirstore.bundles.pending_resources import Written
from fhirstore.bundles.plan import Planned, criteria_of, plan_entry
from fhirstore.bundles.results import blame
from fhirstore.errors import FhirError, FhirStoreError, InvalidResource, MultipleMatches
from fhirstore.version import Version


def questions(entries: Iterable[Entry]) -> Iterator[Question]:
    """Yields the criteria of the conditional entries."""
    for entry in entries:
        if (criteria := criteria_of(entry)) is not None and entry.type is not None:
            yield entry.type, criteria


def plan_all(entries: Sequence[Entry], answers: Answers, new_id: Callable[[], str]) -> list[Planned]:
    """Returns the plans of all entries that write. Raises FhirError, with the entry's place."""
    deleted = {(entry.type, entry.id) for entry in entries if entry.interaction == "delete"}
    planned: list[Planned] = []
    for entry in entries:
        try:
            found = _found(entry, answers)
            criteria = None if found is None else found.criteria
            matches = () if found is None else _left(entry, found, deleted)
            planned.append(plan_entry(entry, matches, new_id, criteria=criteria))
        except FhirError as error:
            raise blame(error, entry.place) from None
    return planned


def _found(entry: Entry, answers: Answers) -> Found | None:
    """Returns the matches of a conditional entry; None where it is not conditional."""
    criteria = criteria_of(entry)
    if criteria is None or entry.type is None:
        return None
    found = answers[entry.type, criteria]
    if isinstance(found, FhirStoreError):
        raise found
    return found


def _left(entry: Entry, found: Found, deleted: Container[tuple[str | None, str | None]]) -> list[Version]:
    """Returns the matches; for a create, without those that are deleted, since deletes are processed before it."""
    if entry.interaction != "create":
        return list(found.matches)
    return [match for match in found.matches if (match.type, match.id) not in deleted]


def created_once(planned: Sequence[Planned], written: Written) -> list[Planned]:
    """Returns the plans, after checking each conditional create against the resources that other entries create: one
    that meets its criteria becomes its result, if it is created unconditionally, or by an earlier entry.

    So two entries with the same ifNoneExist create one resource, as two requests in sequence would. Raises
    MultipleMatches.
    """
    answered: dict[int, Planned] = {}
    for plan in planned:
        if plan.criteria is None or not plan.fresh or plan.entry.interaction != "create":
            continue
        others = [
            other
            for other in written.matching(plan.criteria)
            if other.entry is not plan.entry and other.entry.index not in answered
        ]
        if not others or any(other.entry.interaction != "create" for other in others):
            continue  # `refuse_two_of_one` judges these
        before = [other for other in others if other.criteria is None or other.entry.index < plan.entry.index]
        if len(before) > 1:
            raise MultipleMatches(
                "Several entries make what these criteria match; be more selective",
                expression=plan.entry.at("ifNoneExist"),
            )
        if before:
            made = before[0]
            answered[plan.entry.index] = replace(plan, id=made.id, fresh=False, same_as=made.entry.index)
    return [answered.get(plan.entry.index, plan) for plan in planned]


def wanted(planned: Iterable[Planned]) -> list[Wanted]:
    """Returns the resources that are created because none meets the criteria."""
    deleted: dict[str, set[str]] = {}
    for plan in planned:
        if plan.entry.interaction == "delete" and plan.id is not None:
            deleted.setdefault(plan.type, set()).add(plan.id)
    return [
        Wanted(
            plan.criteria,
            plan.id,
            frozenset(deleted.get(plan.type, ())),
            version=1 if plan.fresh or plan.same_as is not None else 0,
        )
        for plan in planned
        if plan.criteria is not None and plan.id is not None and not plan.matched
    ]


def refuse_two_of_one(planned: Iterable[Planned], written: Written) -> None:
    """Raises InvalidResource where one entry writes a resource that meets the criteria of another one, which expects
    none. `created_once` has settled the cases in which both can have one result."""
    first: dict[tuple[str, str], Entry] = {}
    for plan in planned:
        criteria = criteria_of(plan.entry)
        if plan.criteria is None or criteria is None or plan.matched or not plan.writes:
            continue
        others = [first.setdefault((plan.type, criteria), plan.entry)]
        others += [other.entry for other in written.matching(plan.criteria)]
        other = next((other for other in others if other is not plan.entry), None)
        if other is not None:
            member = "ifNoneExist" if plan.entry.interaction == "create" else "url"
            where = (*plan.entry.at(member), other.place)
            raise InvalidResource(
                "Another entry makes what this one's criteria match", code="duplicate", expression=where
            )
