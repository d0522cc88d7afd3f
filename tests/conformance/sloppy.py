"""A server that exports everything whatever it is asked, and tells it wrongly: ours, seen through a careless proxy."""

from __future__ import annotations

import json

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_METHODS = ["GET", "PUT", "PATCH", "DELETE", "HEAD", "POST"]
_KEPT = ("content-location", "location", "etag")


def sloppy(base_url: str) -> Starlette:
    """Returns the proxy before the server at `base_url`. Of a kick-off it passes on that there is one."""

    client = httpx.AsyncClient(timeout=60)

    async def answer(request: Request) -> Response:
        path = request.url.path.removeprefix("/fhir")
        headers = {name: value for name, value in request.headers.items() if name in ("content-type", "host")}
        if path.endswith("$export"):
            return await _begun(client, base_url, headers)
        if request.method == "DELETE" and "/_export/" in path:
            return Response("gone", 200)
        url = f"{base_url}{path}?{request.url.query}".rstrip("?")
        found = await client.request(request.method, url, content=await request.body(), headers=headers)
        if "/_export/" in path:
            return _told(found)
        kept = {name: value for name, value in found.headers.items() if name in _KEPT}
        return Response(found.content, found.status_code, {**kept, "Content-Type": "application/fhir+json"})

    return Starlette(routes=[Route("/{path:path}", answer, methods=_METHODS)])


async def _begun(client: httpx.AsyncClient, base_url: str, headers: dict[str, str]) -> Response:
    """An export of the whole system, whatever was asked."""
    wanted = {"Host": headers["host"], "Prefer": "respond-async, separate-export-status"}
    found = await client.post(f"{base_url}/$export", headers=wanted)
    kept = {name: value for name, value in found.headers.items() if name in _KEPT}
    applied = {"Preference-Applied": "separate-export-status"}
    return Response("started", 202, {**kept, **applied, "Content-Type": "text/plain"})


def _told(found: httpx.Response) -> Response:
    """A poll or a file: the wrong types, counts that are too high, lines twice, no time to wait."""
    status = int(str(found.headers.get("x-export-status", found.status_code)).split()[0])
    if status == 429:
        status = 202
    if status >= 400:
        return Response("not there", 200, media_type="text/plain")
    headers = {"Content-Type": "text/plain"}
    if status == 202:
        return Response(None, 202, {**headers, "X-Progress": "x" * 100})
    if found.headers["content-type"] != "application/json":
        lines = [json.loads(line) for line in found.content.splitlines()]
        lines += [*lines, {"resourceType": "OperationOutcome"}, {"resourceType": "Patient", "id": "x", "meta": _LATER}]
        return Response(b"\n".join(json.dumps(line).encode() for line in lines), 200, headers)
    manifest = json.loads(found.content)
    for name in ("error", "outcome", "deleted"):
        manifest.pop(name, None)
    for item in manifest["output"]:
        item |= {"type": "Everything", "count": item["count"] + 1, "fileSize": 1, "extension": "none"}
    manifest |= {"transactionTime": "soon", "request": "?", "requiresAccessToken": "no", "outputOrganizedBy": "nothing"}
    manifest |= {"error": [manifest["output"][0]], "manifestType": "none", "outputFormat": "text/plain"}
    return Response(json.dumps(manifest), 200, {**headers, "X-Export-Status": "200"})


_LATER = {"lastUpdated": "2999-01-01T00:00:00Z"}
