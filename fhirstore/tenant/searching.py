"""search: finds resources by the tenant's local index, and shows them as the bucket has them.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from fhirstore.access.limits import limits_of
from fhirstore.commit.drive import drive
from fhirstore.errors import AccessDenied, Issue
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.history.page import PAGE_BYTES
from fhirstore.history.records import Budget
from fhirstore.objects.base import by_any_clock
from fhirstore.search.conditional.candidates import find_or_be_sure, versions_of
from fhirstore.search.conditional.identifying import Criteria, parse_criteria
from fhirstore.search.criteria.criterion import MOST_COUNT, Criterion, Query
from fhirstore.search.criteria.parameters import Parameters, Value, pairs_of
from fhirstore.search.criteria.request import parse_search
from fhirstore.search.criteria.terminology import with_codes
from fhirstore.search.criteria.token import escaped
from fhirstore.search.pages.answers import Answers, answers
from fhirstore.search.pages.finding import Name
from fhirstore.search.pages.matches import Matches
from fhirstore.search.pages.page import page_of
from fhirstore.search.pages.searchset import SearchPage
from fhirstore.search.pages.snapshot import SnapshotPage
from fhirstore.tenant.acting import Acting
from fhirstore.threads import in_thread

_MOST_BY_ID, _MOST_BY_IDENTIFIER = 100, 20
"""Matches to which the bucket leads; above them the local index is the cheaper one."""
_FIRST = 20
"""Resources that are read at once before the size of any is known: the page of most apps, in one round trip."""
_MOST_SHORT = 50
"""Criteria and values of a search that is planned on the event loop."""
_CUT = Issue(
    "too-costly",
    "More resources belong to this page than it can hold; a smaller _count makes pages to which fewer belong",
    severity="warning",
)
_CUT_NEWEST = Issue(
    "too-costly",
    "The newest of each code are more than a page can hold; ask for fewer by code or max",
    severity="warning",
)


def _partly_indexed(types: Sequence[str]) -> Issue:
    text = f"Some resources have more values than the search index holds, and may be missing here: {', '.join(types)}"
    return Issue("incomplete", text, severity="warning")


class Searching(Acting):
    """The searches of a tenant's store."""

    def search(self, type: str | None = None, parameters: Parameters = (), /, **keywords: Value) -> Matches:
        """Searches resources of a type (None: of all types) by any search parameter that FHIR defines for it.

        `await search("Patient", name="anna", birthdate="ge1980")` returns the first page, a `SearchPage`; `async for`
        over the same yields all matches, as of the moment of the first page. `parameters`: a mapping, pairs or a query,
        for names that are no keywords, like `subject:Patient.name`. `_count`: matches on a page, 50 without it, 1,000
        at most; 0: the total alone. `_cursor`: the `next` of another page. 1 LIST, and 1 GET per match. Raises
        UnknownType, InvalidResource, Unsupported, IndexBehind, CursorExpired, Unavailable.
        """

        return self._matches(lambda pairs: self.query(type, pairs), parameters, keywords)

    def _matches(
        self, read: Callable[[list[tuple[str, str]]], Query], parameters: Parameters, keywords: Mapping[str, Value]
    ) -> Matches:
        """Returns a search still to be made. `read`: reads what is asked for, without the cursor."""

        async def page_at(cursor: str | None) -> SearchPage:
            pairs = pairs_of(parameters, keywords)
            given = [value for name, value in pairs if name == "_cursor"]
            asked = [pair for pair in pairs if pair[0] != "_cursor"]
            return await self._understood(lambda: read(asked), cursor=cursor or (given[-1] if given else None))

        return Matches(page_at)

    async def count(self, type: str | None = None, parameters: Parameters = (), /, **keywords: Value) -> int:
        """Returns how many resources match. 1 LIST. Parameters and errors as for `search`."""
        pairs = pairs_of(parameters, keywords)
        found = await self._understood(lambda: self.query(type, pairs), count=0)
        return found.total or 0

    async def learn(self) -> None:
        """Brings the search parameters that the tenant defines up to date, for where `query` did not know one. 1 LIST.

        Raises IndexBehind, Unavailable.
        """
        await self._indexer.learn()

    async def _understood(
        self, read: Callable[[], Query], *, count: int | None = None, cursor: str | None = None
    ) -> SearchPage:
        """Searches for what `read` reads."""

        async def searched() -> SearchPage:
            return await self.search_page(read(), count=count, cursor=cursor)

        return await self._learned(searched)

    def query(
        self,
        type: str | None,
        parameters: Iterable[tuple[str, str]],
        *,
        lenient: bool = False,
        within: Mapping[str, Criterion] | None = None,
        bases: Collection[str] = (),
    ) -> Query:
        """Reads search parameters, unquoted, for `search_page`. `type` None: of all types.

        `lenient`: leave out what is not supported (`Query.ignored`). `within`: only these types, and of each what meets
        a criterion, as in a compartment. `bases`: URLs by which the caller knows this tenant, each with a slash at the
        end. Raises UnknownType, InvalidResource, Unsupported, AccessDenied.
        """
        known = None if type is None else self._admission.known_type(type)
        self._require("search", known)
        now, catalogue = self._place.objects.now(), self._indexer.catalogue
        query = parse_search(catalogue, known, parameters, now=now, lenient=lenient, bases=bases)
        if within is not None:
            branches = [(one, (*some, within[one])) for one, some in query.branches if one in within]
            query = replace(query, branches=tuple(branches))
        if known is None and self._sight is not None:
            self._sight.require_any("search", [one for one, _ in query.branches])
        return query

    async def search_page(self, query: Query, *, count: int | None = None, cursor: str | None = None) -> SearchPage:
        """Returns one page of the matches: the first, or the one that the `next` of another page names.

        `count`: instead of that of the query; 0: the total alone. 1 LIST shared by the searches of a moment, then 1 GET
        per match; by `_id` no LIST. Raises InvalidResource (cursor, too-costly), IndexBehind, CursorExpired,
        Unavailable.
        """
        asked = query if count is None else replace(query, count=min(count, MOST_COUNT))
        indexer = self._indexer
        limits = limits_of(self._sight, indexer.catalogue)
        if cursor is None and (found_there := await self._from_bucket(asked)) is not None:
            return found_there
        await indexer.ensure()
        asked = await with_codes(asked, indexer.catalogue.definitions, self._canonical)
        objects = self._place.objects
        like = hash((tuple([one for one, _ in asked.branches]), tuple([name for name, _ in asked.used]), asked.count))
        found = await indexer.read(
            lambda reader: page_of(reader, asked, cursor, now=by_any_clock(objects), limits=limits),
            like=like,
            short=query.weight <= _MOST_SHORT and len(query.includes) <= _MOST_SHORT,
        )
        return await self._with_content(asked, found, first=cursor is None)

    async def _canonical(self, type: str, canonical: str) -> JsonObject | None:
        """Returns the resource of a canonical URL: of several, the one that was updated last; or of a relative
        reference, like `ValueSet/1`. None where there is none that the access sees.
        """
        url, _, version = canonical.partition("|")
        pairs = [("url", escaped(url)), *([("version", escaped(version))] if version else [])]
        if url.startswith(f"{type}/"):
            pairs[0] = ("_id", escaped(url.removeprefix(f"{type}/")))
        try:
            query = self.query(type, [*pairs, ("_sort", "-_lastUpdated"), ("_count", "1")])
            found = await self.search_page(query)
        except AccessDenied:
            return None
        content = found.matches[0].content if found.matches else None
        return None if content is None else await in_thread(partial(json.parse, content, max_values=None))

    async def _with_content(self, query: Query, found: SnapshotPage, *, first: bool) -> SearchPage:
        budget = Budget(PAGE_BYTES, first=_FIRST)
        matches = await self._answers(found.matches, budget)
        outcomes: tuple[Issue, ...] = ()
        total = len(found.matches) if first and found.next is None and query.count else found.total
        cut = query.newest and matches.read < len(found.matches)  # it has one page
        found = found if query.newest else found.ended_after(matches.read)
        included = await self._answers(found.included, budget) if budget.room > 0 else Answers((), 0)
        if cut or found.cut or included.read < len(found.included):
            outcomes = (_CUT_NEWEST if cut else _CUT,)
        if found.partly:
            outcomes = (*outcomes, _partly_indexed(found.partly))
        return SearchPage(matches.versions, included.versions, found.next, found.previous, total, query, outcomes)

    async def _answers(self, names: Sequence[Name], budget: Budget) -> Answers:
        """Returns the versions of names that the limits let pass; their content decides once more."""
        if not names:
            return Answers((), 0)
        protocol = answers(self._place.keys, names, budget, limits=self._engine.limits)
        found = await drive(protocol, self._place.objects)
        sees = None if self._sight is None else self._sight.sees("search", None)
        if sees is None:
            return found
        return replace(found, versions=tuple(one for one in found.versions if sees(one.type, one.content)))

    def _identifying(self, query: Query) -> Criteria | None:
        """Returns the criteria that lead to all matches without the local index; None: there are others."""
        given = [pair for pair in query.used if pair[0] != "_count"]
        if len(query.branches) != 1 or len(query.branches[0][1]) != len(given) or not query.count:
            return None
        if query.sort or query.includes or any(name not in ("_id", "identifier") for name, _ in given):
            return None
        release = self._engine.validator.definitions.release
        criteria = parse_criteria(query.branches[0][0], given, now=0, release=release)
        if not criteria.exclusive or any(len(ids) > _MOST_BY_ID for ids in criteria.ids):
            return None
        return self._seeing("search", criteria)

    async def _from_bucket(self, query: Query) -> SearchPage | None:
        """Returns all matches of a search by ids or identifiers, to which the bucket itself leads, also while the local
        index is built. None: it asks for more than that, or they are too many.

        1 LIST per identifier, 1 GET per candidate.
        """
        criteria = self._identifying(query)
        if criteria is None:
            return None
        most = min(query.count, _MOST_BY_ID if criteria.ids else _MOST_BY_IDENTIFIER)
        protocol = find_or_be_sure(self._place.keys, criteria, most=most + 1)
        found = await drive(protocol, self._place.objects)
        if len(found) > most:
            return None
        versions = versions_of(found)
        return SearchPage(versions, (), None, None, len(versions), query)
