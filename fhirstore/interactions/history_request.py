"""A history, as the parameters of its URL ask for it.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fhirstore.fhir.times import parse_instant, period
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.interactions.parameters import (
    CURSOR,
    FORM_PARAMETERS,
    Pairs,
    View,
    count_of,
    read_value,
    refuse_unknown,
)
from fhirstore.search.criteria.query import each_once

_OWN = ("_count", "_since", "_at", "_sort", CURSOR)
_OLDEST_FIRST = {"-_lastUpdated": False, "none": False, "_lastUpdated": True}


class WithHistory(Protocol):
    """What has a history; `fhirstore.TenantStore` is one."""

    async def history_page(
        self,
        type: str | None = None,
        id: str | None = None,
        *,
        query: HistoryQuery | None = None,
        cursor: str | None = None,
    ) -> HistoryPage: ...


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """One page of the history of a resource, of a type (`id` None) or of all (`type` None too).

    `parameters`: those that were understood, as given, without the cursor: those of the links from page to page.
    """

    type: str | None
    id: str | None
    query: HistoryQuery
    cursor: str | None
    view: View
    parameters: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, pairs: Pairs, type: str | None, id: str | None, *, lenient: bool = False) -> HistoryRequest:
        """Reads a URL's parameters. `lenient`: unknown ones are ignored. Raises InvalidResource, which names one."""
        if not lenient:
            refuse_unknown(pairs, _OWN)
        given = each_once(pair for pair in pairs if pair[0] in _OWN or pair[0] in FORM_PARAMETERS)
        count, view = count_of(given), View.of(given)
        if view.summary == "count":
            count = 0
        query = HistoryQuery(
            count=HistoryQuery().count if count is None else count,
            since=read_value(given, "_since", parse_instant, "an instant like 2024-05-01T10:00:00Z"),
            at=read_value(
                given, "_at", period, "a date or an instant: 2024, 2024-05, 2024-05-01 or 2024-05-01T10:00:00Z"
            ),
            oldest_first=bool(
                read_value(given, "_sort", _OLDEST_FIRST.__getitem__, "-_lastUpdated, _lastUpdated or none")
            ),
        )
        cursor = given.pop(CURSOR, None)
        return cls(type, id, query, cursor, view, tuple(given.items()))

    async def page(self, store: WithHistory) -> HistoryPage:
        """Returns the page from `store`. Costs and errors: `TenantStore.history_page`."""
        return await store.history_page(self.type, self.id, query=self.query, cursor=self.cursor)
