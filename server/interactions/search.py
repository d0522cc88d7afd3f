"""search: https://hl7.org/fhir/R4/http.html#search.

By every search parameter that FHIR defines for the type. What is unknown is refused by name; with `Prefer:
handling=lenient` or FHIRSTORE_HANDLING=lenient it is ignored, left out of the self link and named in an
OperationOutcome among the entries. A `total` is exact, and told where it is asked for or known without counting.
"""

from __future__ import annotations

from msgspec import structs
from starlette.responses import Response

from fhirstore import FORM_PARAMETERS, Pairs, SearchRequest
from fhirstore.threads import LARGE, offload_if
from server.auditing.touched import touch_owner, touch_search
from server.bundles.searchset import search_links, searchset
from server.content.body import form_body
from server.content.representation import AS_STORED, wanted_by
from server.http.answers import page_answer
from server.http.call import Call
from server.http.paging import linked
from server.http.prefer import applied, handling, is_lenient


async def search_type(call: Call) -> Response:
    """GET [base]/[type]?…: resources of one type."""
    return await search_answer(call, call.type, call.query)


async def search_type_by_form(call: Call) -> Response:
    """POST [base]/[type]/_search: the same, with parameters in the body, in the URL, or in both."""
    return await _by_form(call, call.type)


async def search_system(call: Call) -> Response:
    """GET [base]?…: resources of all types, or of those in `_type`."""
    return await search_answer(call, "", call.query)


async def search_system_by_form(call: Call) -> Response:
    """POST [base]/_search: the same, with parameters in the body, in the URL, or in both."""
    return await _by_form(call, "")


async def search_compartment(call: Call) -> Response:
    """GET [base]/[compartment]/[id]/[type]?…: resources of one type in a compartment; `*`: of all types."""
    return await search_answer(call, _in_compartment(call), call.query)


async def search_compartment_by_form(call: Call) -> Response:
    """POST [base]/[compartment]/[id]/[type]/_search: the same, with parameters in the body, in the URL, or in both."""
    return await _by_form(call, _in_compartment(call))


def _in_compartment(call: Call) -> str:
    return f"{call.parameters['compartment']}/{call.id}/{call.parameters.get('type', '*')}"


async def _by_form(call: Call, path: str) -> Response:
    """Takes the parameters of URL and form, and answers in the form that they ask for."""
    pairs = [*call.query, *await form_body(call)]
    if any(name in FORM_PARAMETERS for name, _ in pairs):
        call = structs.replace(call, representation=wanted_by(pairs, call.headers.get(b"accept"), call.store))
    return await search_answer(call, path, pairs)


async def search_answer(call: Call, path: str, pairs: Pairs) -> Response:
    """Returns the answer to a search at a path below the base. Raises FhirStoreError, Crowded."""
    lenient, base_url, form = is_lenient(call), call.base_url, call.representation
    owner = path.split("/")
    if len(owner) == 3:  # of a compartment
        touch_owner(call.scope, owner[0], owner[1])
    bases = (f"{base_url}/",)
    asked = await SearchRequest.read(pairs, path, store=call.tenant, lenient=lenient, bases=bases)
    page = await asked.page(call.tenant)
    touch_search(call.scope, pairs, page.versions)
    long = form is not AS_STORED and sum(len(match.content) for match in page.versions) > LARGE
    links = search_links(base_url, asked, page)
    pieces = await offload_if(long, lambda: list(searchset(base_url, asked, page, form, links=links)))
    answer = linked(await page_answer(call, pieces), links)
    return applied(answer, "handling", handling(call))
