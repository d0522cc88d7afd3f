"""search: https://hl7.org/fhir/R4/http.html#search.

By `_id`, `_lastUpdated` and `identifier`; anything else is refused by name, or, with `Prefer: handling=lenient` or
FHIRSTORE_HANDLING=lenient, ignored, left out of the self link and named in an OperationOutcome among the entries. A
`total` is told where it is known without reading everything; `_summary=count` and `_count=0` read up to a thousand
resources for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec import structs
from starlette.responses import Response

from fhirstore import SearchPage
from fhirstore.search.query import each_once
from fhirstore.threads import LARGE, offload_if
from server.bundles.searchset import searchset
from server.content.body import form_body
from server.content.representation import AS_STORED, PARAMETERS, wanted_by
from server.http.answers import page_answer
from server.http.call import Call
from server.http.paging import CURSOR, count_of, linked, page_url
from server.http.prefer import applied, handling, is_lenient
from server.http.search_parameters import Pairs, refuse_unheard

_CONTROLS = ("_count", CURSOR, *PARAMETERS)


async def search_type(call: Call) -> Response:
    """GET [base]/[type]?…: resources of one type."""
    return await _search(call, call.type, call.query)


async def search_type_by_form(call: Call) -> Response:
    """POST [base]/[type]/_search: the same, with parameters in the body, in the URL, or in both."""
    call, pairs = await _posted(call)
    return await _search(call, call.type, pairs)


async def search_system(call: Call) -> Response:
    """GET [base]?…: resources of all types, or of those in `_type`."""
    return await _search(call, None, call.query)


async def search_system_by_form(call: Call) -> Response:
    """POST [base]/_search: the same, with parameters in the body, in the URL, or in both."""
    call, pairs = await _posted(call)
    return await _search(call, None, pairs)


@dataclass(frozen=True, slots=True)
class _Controls:
    """What is asked about the answer, and not about the resources. `pairs`: as given, without the cursor."""

    count: int | None
    cursor: str | None
    pairs: Pairs


async def _posted(call: Call) -> tuple[Call, Pairs]:
    """The parameters of URL and form, and the call with the form that they ask the answer to have."""
    pairs = [*call.query, *await form_body(call)]
    if any(name in PARAMETERS for name, _ in pairs):
        call = structs.replace(call, representation=wanted_by(pairs, call.headers.get(b"accept"), call.release))
    return call, pairs


async def _search(call: Call, type_: str | None, pairs: Pairs) -> Response:
    controls = _controls(pairs)
    lenient = is_lenient(call)
    asked = [(name, value) for name, value in pairs if name not in _CONTROLS]
    if not lenient:
        refuse_unheard(call, type_, asked)
    criteria = call.tenant.criteria(type_, asked, lenient=lenient)
    if call.representation.summary == "count" or controls.count == 0:
        page = SearchPage((), None, await call.tenant.search_total(criteria), criteria)
    else:
        page = await call.tenant.search_page(criteria, count=controls.count, cursor=controls.cursor)
    url = call.base_url if type_ is None else f"{call.base_url}/{type_}"
    used = (*criteria.used, *controls.pairs)
    links = {"self": page_url(url, used, controls.cursor)}
    for relation, cursor in (("previous", page.previous), ("next", page.next)):
        if cursor is not None:
            links[relation] = page_url(url, used, cursor)
    long = call.representation is not AS_STORED and sum(len(match.content) for match in page.matches) > LARGE
    content = await offload_if(long, searchset, call, page, links)
    return applied(linked(await page_answer(call, content), links), "handling", handling(call))


def _controls(pairs: Pairs) -> _Controls:
    values = each_once(pair for pair in pairs if pair[0] in _CONTROLS)
    cursor = values.pop(CURSOR, None)
    return _Controls(count_of(values), cursor, tuple(values.items()))
