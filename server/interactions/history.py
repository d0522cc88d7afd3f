"""history: https://hl7.org/fhir/R4/http.html#history.

The Bundle is put together from the stored bytes of the versions: nothing is parsed or encoded again. Its
`meta.lastUpdated` is a time before which nothing can appear any more: whoever sends it as the next `_since` misses
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from starlette.responses import Response

from fhirstore import HistoryPage, Version, instant
from fhirstore.threads import LARGE, offload_if
from server.content.representation import AS_STORED
from server.http.answers import page_answer
from server.http.call import Call
from server.http.fields import etag
from server.http.paging import PageRequest, linked, page_request
from server.http.prefer import applied, handling

_encode = msgspec.json.Encoder().encode


async def history_instance(call: Call) -> Response:
    """GET [base]/[type]/[id]/_history: a resource's versions, newest first; 404 if there never was one."""
    asked = page_request(call)
    page = await call.tenant.history_page(call.type, call.id, query=asked.query, cursor=asked.cursor)
    return await _bundle(call, asked, page, f"{call.base_url}/{call.type}/{call.id}/_history")


async def history_type(call: Call) -> Response:
    """GET [base]/[type]/_history: the versions of all resources of a type, newest first."""
    asked = page_request(call)
    page = await call.tenant.history_page(call.type, query=asked.query, cursor=asked.cursor)
    return await _bundle(call, asked, page, f"{call.base_url}/{call.type}/_history")


async def history_system(call: Call) -> Response:
    """GET [base]/_history: the versions of all resources, newest first."""
    asked = page_request(call)
    page = await call.tenant.history_page(query=asked.query, cursor=asked.cursor)
    return await _bundle(call, asked, page, f"{call.base_url}/_history")


async def _bundle(call: Call, asked: PageRequest, page: HistoryPage, url: str) -> Response:
    links = {"self": asked.link(url, asked.cursor)}
    for relation, cursor in (("previous", page.previous), ("next", page.next)):
        if cursor is not None:
            links[relation] = asked.link(url, cursor)
    head: dict[str, object] = {"resourceType": "Bundle", "meta": {"lastUpdated": instant(page.as_of)}}
    head["type"] = "history"
    if page.total is not None:
        head["total"] = page.total
    head["link"] = [{"relation": relation, "url": link} for relation, link in links.items()]
    body = [_encode(head)[:-1]]
    if page.versions:
        body.append(b',"entry":[')
        long = call.representation is not AS_STORED and sum(len(each.content) for each in page.versions) > LARGE
        body += await offload_if(long, lambda: list(_entries(call, page.versions)))
        body.append(b"]")
    body.append(b"}")
    answer = linked(await page_answer(call, b"".join(body)), links)
    return applied(answer, "handling", handling(call))


def _entries(call: Call, versions: tuple[Version, ...]) -> Iterator[bytes]:
    """The entries' bytes, commas included. A deletion has no resource."""
    base_url, wanted = call.base_url, call.representation
    separator = b""
    for version in versions:
        url = f"{version.type}/{version.id}"
        head = _encode({"fullUrl": f"{base_url}/{url}"})
        request = {"method": version.method, "url": version.type if version.method == "POST" else url}
        response = {
            "status": _status(version),
            "etag": etag(version.version_id),
            "lastModified": instant(version.last_updated_ms),
        }
        yield separator + head[:-1]
        if not version.deleted:
            yield b',"resource":'
            yield wanted.entry(version.content)
        yield b"," + _encode({"request": request, "response": response})[1:]
        separator = b","


def _status(version: Version) -> str:
    """What the interaction was answered."""
    if version.deleted:
        return "204"
    return "201" if version.created else "200"
