"""The entries of a Bundle that read: read, vread, history, search and $validate, each as if it were asked for alone.

https://hl7.org/fhir/R4/http.html#brules: "each entry is treated as if an individual interaction or operation".
"""

from __future__ import annotations

from typing import Protocol

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.preconditions import not_modified
from fhirstore.bundles.results import Result
from fhirstore.errors import InvalidResource, Issue
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.validation.operation import ValidateRequest
from fhirstore.interactions.history_request import HistoryRequest, WithHistory
from fhirstore.interactions.parameters import Pairs, View, refuse_unknown
from fhirstore.interactions.search_request import Searchable, SearchRequest
from fhirstore.search.criteria.query import each_once, parse_query
from fhirstore.version import Version

_SEARCHES = ("_search", "$everything", "$lastn")


class Readable(Searchable, WithHistory, Protocol):
    """What these entries need of a tenant's store; `fhirstore.TenantStore` is one."""

    async def read(self, type: str, id: str) -> Version: ...

    async def vread(self, type: str, id: str, version_id: int) -> Version: ...

    async def validate(self, request: ValidateRequest, body: bytes | None = None) -> tuple[Issue, ...]: ...


def is_performed_here(entry: Entry) -> bool:
    """Whether `perform_read` performs an entry that does not write; else it is another operation, or `metadata`."""
    if entry.interaction != "operation":
        return True
    segments = entry.path.split("/")
    if segments[-1] == "_search":
        return entry.method == "POST" and entry.resource is None
    if segments[-1] in ("$everything", "$lastn"):
        return entry.method in ("GET", "HEAD")
    if segments[-1] != "$validate":
        return False
    if len(segments) == 2:
        return entry.method == "POST" and entry.resource is not None
    return len(segments) == 3 and entry.method in ("GET", "HEAD", "POST")


async def perform_read(entry: Entry, store: Readable, *, definitions: Definitions, lenient: bool = False) -> Result:
    """Returns what an entry reads from `store`. The contents of its resources are whole, see `Result.view`.

    `lenient`: parameters that are not known or not supported are ignored. Raises FhirStoreError.
    """
    pairs = parse_query(entry.criteria or "")
    if entry.interaction == "history":
        asked = HistoryRequest.read(pairs, entry.type, entry.id, lenient=lenient)
        return Result(entry, request=asked, page=await asked.page(store), view=asked.view)
    if entry.interaction == "search" or entry.path.endswith(_SEARCHES):
        path = entry.path.removesuffix("_search").strip("/")
        search = await SearchRequest.read(pairs, path, store=store, lenient=lenient)
        return Result(entry, request=search, page=await search.page(store), view=search.view)
    if entry.interaction == "operation":
        return await _validate(entry, pairs, store, lenient=lenient)
    return await _read(entry, pairs, store, lenient=lenient)


async def _read(entry: Entry, pairs: Pairs, store: Readable, *, lenient: bool) -> Result:
    assert entry.type is not None  # noqa: S101 - a read names a type and an id
    assert entry.id is not None  # noqa: S101
    view = None
    if pairs:
        view = _view(pairs, (), lenient=lenient)
        if view.summary == "count":
            raise InvalidResource("_summary=count is for searches only: it has no resource in it", code="value")
    if entry.version is not None:
        version = await store.vread(entry.type, entry.id, entry.version)
    else:
        version = await store.read(entry.type, entry.id)
    return Result(entry, version, view=view, not_modified=not_modified(entry, version))


async def _validate(entry: Entry, pairs: Pairs, store: Readable, *, lenient: bool) -> Result:
    view = _view(pairs, ("mode", "profile"), lenient=lenient)
    profiles = tuple(value for name, value in pairs if name == "profile")
    id_ = _segment(entry, 1) if entry.path.count("/") == 2 else ""
    request = ValidateRequest(_segment(entry, 0) or "", id_ or "", mode=dict(pairs).get("mode", ""), profiles=profiles)
    return Result(entry, issues=await store.validate(request, entry.body or None), view=view)


def _view(pairs: Pairs, known: tuple[str, ...], *, lenient: bool) -> View:
    if not lenient:
        refuse_unknown(pairs, known)
    return View.of(each_once(pair for pair in pairs if pair[0] in ("_summary", "_elements")))


def _segment(entry: Entry, number: int) -> str | None:
    """A segment of the path that is not its last."""
    segments = entry.path.split("/")[:-1]
    return segments[number] if number < len(segments) else None
