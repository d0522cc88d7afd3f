"""The entries that write, as parts of one commit: the decision of each, given the current version.

A part decides again if another writer was quicker. Its preconditions are checked at each decision, and also whether
the match of a conditional entry still matches.
"""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.plan import Planned
from fhirstore.bundles.preconditions import preconditions
from fhirstore.bundles.receipts import Line
from fhirstore.bundles.restriction import Restriction
from fhirstore.bundles.results import Result, blame
from fhirstore.commit.single import Decide, Draft, WriteResult
from fhirstore.commit.transaction import Part
from fhirstore.errors import FhirError
from fhirstore.fhir import json
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.validation import Validator
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.record import Record
from fhirstore.interactions import resources
from fhirstore.interactions.conditional import taken
from fhirstore.version import version_of


class Moved(Exception):
    """The match of a conditional entry does not match any more."""


def part_of(
    plan: Planned,
    keys: Keyspace,
    lines: list[Line],
    *,
    validator: Validator,
    patch: Callable[[Entry], Patch],
    restriction: Restriction,
    skip_unchanged: bool = False,
) -> Part:
    """Returns the part of an entry. `lines`: where it writes its line of the receipt. `patch`: reads an entry's patch.

    Raises FhirError with the entry's place; the part raises Moved, too."""
    assert plan.id is not None  # noqa: S101 - it writes
    try:
        decide = restriction.decide(plan, _decide(plan.entry, plan.id, validator, patch, skip_unchanged))
    except FhirError as error:
        raise blame(error, plan.entry.place) from None
    noting = _noting(plan, decide, lines, quiet=restriction.is_quiet(plan))
    return Part(keys.resource(plan.type, plan.id), noting, fresh=plan.fresh)


def result_of(plan: Planned, outcome: WriteResult, *, quiet: bool = False) -> Result:
    """Returns the entry's result. `quiet`: without the version where nothing was written."""
    if outcome.record is None or (quiet and not outcome.applied):
        return Result(plan.entry)
    version = version_of(plan.type, plan.id or "", outcome.record, created=outcome.created)
    return Result(plan.entry, version)


def _decide(
    entry: Entry, id_: str, validator: Validator, patch: Callable[[Entry], Patch], skip_unchanged: bool
) -> Decide:
    conditions = preconditions(entry, skip_unchanged=skip_unchanged)

    def build(version: int, t: int) -> bytes:  # without a Template, which would hold the resource a second time
        return json.with_identity(entry.resource or {}, id=id_, version=version, last_updated=t)

    match entry.interaction:
        case "delete":
            return resources.deletion(conditions)
        case "patch":
            return resources.patching(patch(entry), validator, conditions)
        case "create":
            return resources.creation(build)
        case _:
            return resources.update(build, conditions)


def _noting(plan: Planned, decide: Decide, lines: list[Line], *, quiet: bool) -> Decide:
    """Returns the same decision, with the entry's place in its errors; its line of the receipt goes into `lines`.

    `quiet`: without a line where nothing is written.
    """
    index, type_, id_ = plan.entry.index, plan.type, plan.id or ""

    def noting(current: Record | None) -> Draft | None:
        if plan.matched and plan.criteria is not None and not plan.criteria.match(type_, id_, current):
            raise Moved
        try:
            if plan.criteria is not None and not plan.matched and current is not None and not current.deleted:
                raise taken(current.version)
            draft = decide(current)
        except FhirError as error:
            raise blame(error, plan.entry.place) from None
        version = 0 if current is None else current.version
        if draft is None:
            lines[index] = (type_, id_, version, False) if version and not quiet else None
            return None
        if draft.build is None:
            lines[index] = (type_, id_, version + 1, False)
            return draft
        build, created = draft.build, current is None or current.deleted

        def noted(version: int, t: int) -> bytes:
            lines[index] = (type_, id_, version, created)
            return build(version, t)

        return Draft(draft.method, noted, payload=draft.payload)

    return noting
