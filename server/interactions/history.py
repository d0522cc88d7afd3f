"""history: https://hl7.org/fhir/R4/http.html#history."""

from __future__ import annotations

from starlette.responses import Response

from fhirstore import HistoryRequest
from fhirstore.threads import LARGE, offload_if
from server.auditing.touched import touch
from server.bundles.history import history, history_links
from server.content.representation import AS_STORED
from server.http.answers import page_answer
from server.http.call import Call
from server.http.paging import linked
from server.http.prefer import applied, handling, is_lenient


async def history_instance(call: Call) -> Response:
    """GET [base]/[type]/[id]/_history: a resource's versions, newest first; 404 if there never was one."""
    return await _history(call, call.type, call.id)


async def history_type(call: Call) -> Response:
    """GET [base]/[type]/_history: the versions of all resources of a type, newest first."""
    return await _history(call, call.type, None)


async def history_system(call: Call) -> Response:
    """GET [base]/_history: the versions of all resources, newest first."""
    return await _history(call, None, None)


async def _history(call: Call, type_: str | None, id_: str | None) -> Response:
    asked = HistoryRequest.read(call.query, type_, id_, lenient=is_lenient(call))
    page = await asked.page(call.tenant)
    touch(call.scope, page.versions)
    base_url, form = call.base_url, call.representation
    long = form is not AS_STORED and sum(len(each.content) for each in page.versions) > LARGE
    pieces = await offload_if(long, lambda: list(history(base_url, asked, page, form)))
    answer = linked(await page_answer(call, pieces), history_links(base_url, asked, page))
    return applied(answer, "handling", handling(call))
