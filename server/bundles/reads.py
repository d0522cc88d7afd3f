"""Searches and histories as entries of a Bundle: asked of the routes that answer them on their own.

So an entry `Patient?_id=1` gets the very Bundle that GET [base]/Patient?_id=1 gets, always as JSON, since it becomes
part of one.
"""

from __future__ import annotations

from dataclasses import replace

from msgspec import structs
from starlette.exceptions import HTTPException

from fhirstore import BundleEntry
from fhirstore.errors import InvalidResource, Unsupported
from server.call import FHIR_PATH, Call
from server.content.representation import AS_STORED, wanted

_KEPT = (b"host", b"prefer")


class Answers:
    """Answers entries that read, on behalf of the request `call`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._handlers = {route.path: route.handler for route in call.table if route.method == "GET"}

    async def __call__(self, entry: BundleEntry) -> bytes:
        """The answer's body. Raises FhirError."""
        call = self._call
        template, path = "", ""
        parameters = {name: value for name, value in call.parameters.items() if name == "tenant"}
        for name, value in (("type", entry.type), ("id", entry.id)):
            if value is not None:
                template, path = f"{template}/{{{name}}}", f"{path}/{value}"
                parameters[name] = value
        if entry.interaction == "history":
            template, path = f"{template}/_history", f"{path}/_history"
        elif entry.version is not None:
            template, path = f"{template}/_history/{{vid}}", f"{path}/_history/{entry.version}"
            parameters["vid"] = str(entry.version)
        query = (entry.criteria or "").encode()
        form = wanted(query, {}, call.release)
        if form.media != AS_STORED.media or form.pretty:
            form = replace(form, media=AS_STORED.media, content_type=AS_STORED.content_type, pretty=False)
        scope = {**call.scope, "method": "GET", "path": f"{FHIR_PATH}{path}", "query_string": query}
        headers = {name: call.headers[name] for name in _KEPT if name in call.headers}
        asked = structs.replace(call, scope=scope, headers=headers, parameters=parameters, representation=form)
        try:
            response = await self._handlers[template](asked)
        except HTTPException as refused:
            kind = Unsupported if refused.status_code == 501 else InvalidResource
            raise kind(refused.detail, expression=entry.at("url")) from refused
        return bytes(response.body)
