"""search: https://hl7.org/fhir/R4/http.html#search.

By `_id`, `_lastUpdated` and `identifier`. Anything else is refused by name; with `Prefer: handling=lenient` or
FHIRSTORE_HANDLING=lenient it is ignored, left out of the self link and named in an OperationOutcome among the entries.
A `total` is told where it is known without reading everything; `_summary=count` and `_count=0` read up to a thousand
resources for it.
"""

from __future__ import annotations

from msgspec import structs
from starlette.responses import Response

from fhirstore import FORM_PARAMETERS, Pairs, SearchRequest
from fhirstore.threads import LARGE, offload_if
from server.auditing.touched import touch_search
from server.bundles.searchset import search_links, searchset
from server.content.body import form_body
from server.content.representation import AS_STORED, wanted_by
from server.http.answers import page_answer
from server.http.call import Call
from server.http.paging import linked
from server.http.prefer import applied, handling, is_lenient


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


async def _posted(call: Call) -> tuple[Call, Pairs]:
    """Returns the parameters of URL and form, and the call with the form of answer that they ask for."""
    pairs = [*call.query, *await form_body(call)]
    if any(name in FORM_PARAMETERS for name, _ in pairs):
        call = structs.replace(call, representation=wanted_by(pairs, call.headers.get(b"accept"), call.store))
    return call, pairs


async def _search(call: Call, type_: str | None, pairs: Pairs) -> Response:
    lenient, base_url, form = is_lenient(call), call.base_url, call.representation
    asked = SearchRequest.read(pairs, type_, store=call.tenant, definitions=call.store.definitions, lenient=lenient)
    page = await asked.page(call.tenant)
    touch_search(call.scope, pairs, page.matches)
    long = form is not AS_STORED and sum(len(match.content) for match in page.matches) > LARGE
    pieces = await offload_if(long, lambda: list(searchset(base_url, asked, page, form)))
    answer = linked(await page_answer(call, pieces), search_links(base_url, asked, page))
    return applied(answer, "handling", handling(call))
