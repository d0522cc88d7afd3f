"""The page of any search: of a type, of a compartment, or of an operation that is a search."""

from __future__ import annotations

from fhirstore.errors import InvalidResource
from fhirstore.index.local.reader import Reader
from fhirstore.search.criteria.criterion import MOST_COUNT, Query
from fhirstore.search.criteria.limits import Limits
from fhirstore.search.pages.everything import everything_page
from fhirstore.search.pages.lastn import last_of_each
from fhirstore.search.pages.snapshot import Cursor, SnapshotPage, page


def page_of(reader: Reader, query: Query, cursor: str | None, *, now: int, limits: Limits) -> SnapshotPage:
    """Returns the first page, or the one of the cursor. Raises as `page`."""
    if query.newest:
        return _last(reader, query, cursor, now=now, limits=limits)
    if query.members:
        return everything_page(reader, query, cursor, now=now, limits=limits)
    return page(reader, query, cursor, now=now, limits=limits)


def _last(reader: Reader, query: Query, cursor: str | None, *, now: int, limits: Limits) -> SnapshotPage:
    """Returns the one page of `$lastn`."""
    if cursor is not None:
        raise InvalidResource("$lastn has one page", code="value")
    names = last_of_each(reader, query, query.newest, now=now, limits=limits)
    if len(names) > MOST_COUNT:
        text = f"The newest of each code are more than {MOST_COUNT:,} Observations; ask for fewer by code or max"
        raise InvalidResource(text, code="too-costly")
    shown = names if query.count else ()
    return SnapshotPage(shown, (), False, reader.seq, None, None, len(names), (), Cursor(now, {}, ""))
