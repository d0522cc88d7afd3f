"""Performs the entries of a Bundle that the library does not: `metadata` and `$purge`; refuses unsupported ones.

The library performs all other entries. An entry is refused with the status that it would have as a request of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException

from fhirstore import BundleEntry, entity_tags, parse_query, refuse_unknown
from server.content.body import NOT_A_FORM
from server.content.media import UNKNOWN_TYPE
from server.content.representation import wanted
from server.http.call import Call
from server.http.outcome import issue_code
from server.http.prefer import is_lenient
from server.http.refusal import Refused, RefusedEntry
from server.interactions.capabilities import capability_statement
from server.operations.purge import purge_resource


class EntryOperations:
    """Performs such entries of the Bundle that `call` brought. `admit` and `perform` are for `BundleOptions`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def admit(self, entry: BundleEntry) -> None:
        """Raises FhirError where the server does not have the form that an entry asks for."""
        if entry.criteria:
            with _as_entry(entry):
                wanted(entry.criteria.encode(), {}, self._call.store)

    async def perform(self, entry: BundleEntry) -> bytes:
        """Returns the resource that answers the entry, as JSON; nothing where the client has it. Raises FhirError."""
        call, method = self._call, "GET" if entry.method == "HEAD" else entry.method
        with _as_entry(entry):
            call.process.refuse_missing(f"/{entry.path}", method)
            form = wanted((entry.criteria or "").encode(), {}, call.store)
            segments = entry.path.split("/")
            if segments == ["metadata"]:
                content, tag = await capability_statement(call, self._parameters(entry, "mode"))
                return b"" if _names(entry.if_none_match, tag) else form.entry(content)
            if segments[-1] == "$purge":
                self._parameters(entry)
                return await purge_resource(call, segments[0], segments[1])
            raise Refused(415, NOT_A_FORM if segments[-1] == "_search" else UNKNOWN_TYPE)

    def _parameters(self, entry: BundleEntry, *known: str) -> dict[str, str]:
        """The entry's parameters by name. Raises InvalidResource for one that is not in `known`."""
        pairs = parse_query(entry.criteria or "")
        if not is_lenient(self._call):
            refuse_unknown(pairs, known)
        return dict(pairs)


def _names(if_none_match: str | None, tag: str) -> bool:
    """Whether `ifNoneMatch` of an entry names this opaque tag, or any; compared weakly."""
    try:
        return if_none_match is not None and (if_none_match.strip() == "*" or tag in entity_tags(if_none_match))
    except ValueError:
        return False


@contextmanager
def _as_entry(entry: BundleEntry) -> Iterator[None]:
    """Turns an HTTPException that is raised inside into an error of the entry with the same status."""
    try:
        yield
    except HTTPException as refused:
        code = issue_code(refused)
        raise RefusedEntry(
            refused.detail, status=refused.status_code, code=code, expression=entry.at("url")
        ) from refused
