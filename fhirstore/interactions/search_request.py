"""A search, as the parameters of its URL ask for it.

https://hl7.org/fhir/R4/http.html#search · https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from fhirstore.interactions.parameters import CURSOR, FORM_PARAMETERS, Pairs, View
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.query import each_once
from fhirstore.search.criteria.refusals import NewParameter, UnknownParameter
from fhirstore.search.pages.searchset import SearchPage


class Searchable(Protocol):
    """What is searched; `fhirstore.TenantStore` is one."""

    def query_at(
        self,
        path: str,
        parameters: Iterable[tuple[str, str]],
        *,
        lenient: bool = False,
        bases: Collection[str] = (),
    ) -> Query: ...

    async def learn(self) -> None: ...

    async def search_page(self, query: Query, *, count: int | None = None, cursor: str | None = None) -> SearchPage: ...


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """One page of a search. `path`: below the base, as for `TenantStore.search_at`. `total_only`: no matches.

    `controls`: the parameters about the form of the answer, as given.
    """

    path: str
    query: Query
    cursor: str | None
    total_only: bool
    view: View
    controls: tuple[tuple[str, str], ...]

    @classmethod
    async def read(
        cls,
        pairs: Pairs,
        path: str,
        *,
        store: Searchable,
        lenient: bool = False,
        bases: Collection[str] = (),
    ) -> SearchRequest:
        """Reads a URL's parameters. `lenient`: unknown and unsupported parameters are ignored, see `Query.ignored`.
        `bases`: base URLs by which the client knows the tenant, each with a slash at the end.

        What is unknown is looked for among the parameters that the tenant defines by now. Raises UnknownType,
        InvalidResource, Unsupported, IndexBehind, Unavailable.
        """
        given = each_once(pair for pair in pairs if pair[0] in (CURSOR, "_count", *FORM_PARAMETERS))
        view = View.of(given)
        asked = [pair for pair in pairs if pair[0] not in (CURSOR, *FORM_PARAMETERS)]

        def read() -> Query:
            return store.query_at(path, asked, lenient=lenient, bases=bases)

        query: Query | None = None
        with suppress(NewParameter, UnknownParameter):
            query = read()
        if query is None or query.ignored:
            await store.learn()
            query = read()
        total_only = query.count == 0 or view.summary == "count"
        controls = tuple(pair for pair in given.items() if pair[0] in FORM_PARAMETERS)
        return cls(path, query, given.get(CURSOR), total_only, view, controls)

    @property
    def parameters(self) -> tuple[tuple[str, str], ...]:
        """The parameters that were understood, without the cursor: those of the links from page to page."""
        return (*self.query.used, *self.query.answer, *self.controls)

    async def page(self, store: Searchable) -> SearchPage:
        """Returns the page from `store`. Costs and errors: `TenantStore.search_page`."""
        return await store.search_page(self.query, count=0 if self.total_only else None, cursor=self.cursor)
