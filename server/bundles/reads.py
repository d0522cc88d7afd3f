"""Searches, histories and operations as entries of a Bundle: asked of the routes that answer them on their own.

So an entry `Patient?_id=1` gets the very Bundle that GET [base]/Patient?_id=1 gets, `metadata` the CapabilityStatement
and `Patient/$validate` its OperationOutcome, always as JSON, since it becomes part of one; and what is refused on its
own is refused with the same status.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from msgspec import structs
from starlette.exceptions import HTTPException
from starlette.types import Message

from fhirstore import BundleEntry, TenantStore
from server.content.representation import AS_STORED, wanted
from server.http.call import FHIR_PATH, Call
from server.http.outcome import issue_code
from server.http.paths import Paths
from server.http.refusal import Refused, RefusedEntry

_KEPT = (b"host", b"prefer")


class Answers:
    """Answers entries that read, on behalf of the request `call`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    @cached_property
    def _paths(self) -> Paths:
        return Paths(self._call.table, release=self._call.release)

    async def __call__(self, entry: BundleEntry, tenant: object) -> bytes:
        """The answer's body; empty where it is 304. `tenant`: the store to ask. Raises FhirError."""
        assert isinstance(tenant, TenantStore)  # noqa: S101 - one that counts what the Bundle reads
        try:
            return await self._answer(entry, tenant)
        except HTTPException as refused:
            code = issue_code(refused)
            raise RefusedEntry(
                refused.detail, status=refused.status_code, code=code, expression=entry.at("url")
            ) from refused

    async def _answer(self, entry: BundleEntry, tenant: TenantStore) -> bytes:
        call, path = self._call, _path(entry)
        method = "GET" if entry.method == "HEAD" else entry.method
        endpoint = self._paths.find(path, method)
        handler = endpoint.handlers.get(method)
        if handler is None:
            raise Refused(405, f"{method} is not possible here; allowed: {endpoint.allow}")
        parameters = {**call.parameters, **endpoint.parameters}
        query = (entry.criteria or "").encode()
        form = wanted(query, {}, call.release)
        if form.media != AS_STORED.media or form.pretty:
            form = replace(form, media=AS_STORED.media, content_type=AS_STORED.content_type, pretty=False)
        scope = {**call.scope, "method": method, "path": f"{FHIR_PATH}{path}", "query_string": query}
        headers = {name: call.headers[name] for name in _KEPT if name in call.headers}
        body = entry.body
        if entry.interaction == "operation":
            headers |= {b"content-type": AS_STORED.content_type} if body else {}
            headers |= {} if entry.if_none_match is None else {b"if-none-match": entry.if_none_match.encode()}

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        asked = structs.replace(
            call,
            scope=scope,
            receive=receive,
            headers=headers,
            parameters=parameters,
            tenant=tenant,
            representation=form,
        )
        response = await handler(asked)
        return b"" if response.status_code == 304 else bytes(response.body)


def _path(entry: BundleEntry) -> str:
    """Below the base, with a slash at its start, or empty."""
    if entry.interaction == "operation":
        return f"/{entry.path}"
    path = "".join(f"/{part}" for part in (entry.type, entry.id) if part is not None)
    if entry.interaction == "history":
        return f"{path}/_history"
    return path if entry.version is None else f"{path}/_history/{entry.version}"
