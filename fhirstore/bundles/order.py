"""The order in which the entries of a Bundle are processed, and which of them may not stand in one transaction.

DELETE, POST, PUT and PATCH, then GET, HEAD and operations: so the outcome does not depend on the order of the entries.
Two entries of a transaction must not write the same resource; for conditional entries, this is checked when their
matches are known.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from fhirstore.bundles.entries import Entry
from fhirstore.errors import InvalidResource, Issue

_READS = 3
_PHASE = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": _READS, "HEAD": _READS}


def phases(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Returns the entries of each phase that has any, in processing order; within a phase as in the Bundle."""
    by_phase: dict[int, list[Entry]] = {}
    for entry in entries:
        by_phase.setdefault(_PHASE[entry.method] if entry.writes else _READS, []).append(entry)
    return [by_phase[number] for number in sorted(by_phase)]


def target(entry: Entry) -> Hashable:
    """Returns what an entry reads or writes. Of two entries with equal targets the second waits for the first.

    A create without criteria has a target of its own.
    """
    if entry.interaction == "create":
        return (entry.type, entry.if_none_exist) if entry.if_none_exist is not None else entry.index
    if entry.id is not None:
        return entry.type, "/", entry.id
    return (entry.type, entry.criteria) if entry.writes else entry.index


def refuse_overlaps(written: Iterable[tuple[Entry, str, str]]) -> None:
    """Raises InvalidResource where two entries write the same resource. `written`: entries, and the type and id that
    each writes."""
    first: dict[tuple[str, str], Entry] = {}
    issues: list[Issue] = []
    for entry, type_, id_ in written:
        earlier = first.setdefault((type_, id_), entry)
        if earlier is not entry:
            where = (entry.place, earlier.place)
            issues.append(Issue("duplicate", "Two entries of a transaction write the same resource", where))
    _raise(issues)


def refuse_same_full_urls(entries: Iterable[Entry]) -> None:
    """Raises InvalidResource where two entries of a transaction have one fullUrl: a reference could mean either."""
    first: dict[str, Entry] = {}
    issues: list[Issue] = []
    for entry in entries:
        if entry.full_url and entry.writes and (earlier := first.setdefault(entry.full_url, entry)) is not entry:
            where = (f"{entry.place}.fullUrl", f"{earlier.place}.fullUrl")
            issues.append(Issue("duplicate", "Two entries have the same fullUrl", where))
    _raise(issues)


def _raise(issues: Sequence[Issue]) -> None:
    if issues:
        error = InvalidResource(issues[0].diagnostics, code="duplicate", expression=issues[0].expression)
        error.issues = tuple(issues)
        raise error
