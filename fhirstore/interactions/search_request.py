"""A search, as the parameters of its URL ask for it.

https://hl7.org/fhir/R4/http.html#search · https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.interactions.parameters import CURSOR, FORM_PARAMETERS, Pairs, View, count_of, refuse_undefined
from fhirstore.search.criteria import Criteria
from fhirstore.search.page import SearchPage
from fhirstore.search.query import each_once

_CONTROLS = ("_count", CURSOR, *FORM_PARAMETERS)


class Searchable(Protocol):
    """What is searched; `fhirstore.TenantStore` is one."""

    def criteria(
        self, type: str | None, parameters: Iterable[tuple[str, str]], *, lenient: bool = False
    ) -> Criteria: ...

    async def search_page(
        self, criteria: Criteria, *, count: int | None = None, cursor: str | None = None
    ) -> SearchPage: ...

    async def search_total(self, criteria: Criteria) -> int | None: ...


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One page of a search. `type`: None for all types. `count`: matches wanted. `total_only`: their number alone.

    `controls`: the parameters about the answer, as given, without the cursor.
    """

    type: str | None
    criteria: Criteria
    count: int | None
    cursor: str | None
    total_only: bool
    view: View
    controls: tuple[tuple[str, str], ...]

    @classmethod
    def read(
        cls, pairs: Pairs, type: str | None, *, store: Searchable, definitions: Definitions, lenient: bool = False
    ) -> SearchRequest:
        """Reads a URL's parameters. `lenient`: unknown and unsupported criteria are ignored, see `Criteria.ignored`.

        Raises UnknownType, InvalidResource, Unsupported.
        """
        given = each_once(pair for pair in pairs if pair[0] in _CONTROLS)
        cursor = given.pop(CURSOR, None)
        count, view = count_of(given), View.of(given)
        asked = [pair for pair in pairs if pair[0] not in _CONTROLS]
        if not lenient:
            refuse_undefined(definitions, type, asked)
        criteria = store.criteria(type, asked, lenient=lenient)
        total_only = count == 0 or view.summary == "count"
        return cls(type, criteria, count, cursor, total_only, view, tuple(given.items()))

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The parameters that were understood, without the cursor: those of the links from page to page."""
        return (*self.criteria.used, *self.controls)

    async def page(self, store: Searchable) -> SearchPage:
        """Returns the page from `store`. Costs and errors: `TenantStore.search_page` and `search_total`."""
        if self.total_only:
            return SearchPage((), None, await store.search_total(self.criteria), self.criteria)
        return await store.search_page(self.criteria, count=self.count, cursor=self.cursor)
