"""THE table: every FHIR interaction this server answers. Routing and the CapabilityStatement are computed from it.

What is not built yet stands here too, answers 501 with a reason and is not advertised.
"""

from __future__ import annotations

from starlette.responses import Response

from server.call import Call
from server.interactions.bundle import bundle
from server.interactions.capabilities import capabilities
from server.interactions.create import create
from server.interactions.delete import delete
from server.interactions.history import history_instance, history_system, history_type
from server.interactions.read import read
from server.interactions.update import update
from server.interactions.vread import vread
from server.operations.purge import purge
from server.refusal import Refused
from server.route import Handler, Route


def _unbuilt(what: str) -> Handler:
    async def refuse(_: Call) -> Response:
        raise Refused(501, f"{what} is not implemented")

    return refuse


_search = _unbuilt("Search")

TABLE: tuple[Route, ...] = (
    Route("GET", "/{type}/{id}", read, ("read",), "The current version of a resource"),
    Route("PUT", "/{type}/{id}", update, ("update",), "Store the next version, or create under this id"),
    Route("DELETE", "/{type}/{id}", delete, ("delete",), "Delete; older versions stay readable"),
    Route("PATCH", "/{type}/{id}", _unbuilt("Patch"), (), "Change parts of a resource"),
    Route("POST", "/{type}", create, ("create",), "Store a new resource under a server-assigned id"),
    Route("GET", "/{type}", _search, (), "Search a type"),
    Route("PUT", "/{type}", _unbuilt("Conditional update"), (), "Update what matches"),
    Route("DELETE", "/{type}", _unbuilt("Conditional delete"), (), "Delete what matches"),
    Route("GET", "/{type}/{id}/_history/{vid}", vread, ("vread",), "One version of a resource"),
    Route("POST", "/{type}/{id}/$purge", purge, (), "Remove a resource and its history physically (admin)"),
    Route("GET", "/metadata", capabilities, (), "The CapabilityStatement"),
    Route("GET", "/_history", history_system, ("history-system",), "Everything that happened"),
    Route("GET", "/{type}/_history", history_type, ("history-type",), "Everything that happened to a type"),
    Route("GET", "/{type}/{id}/_history", history_instance, ("history-instance",), "Everything that happened to it"),
    Route("POST", "/{type}/_search", _search, (), "Search a type"),
    Route("POST", "/_search", _search, (), "Search all types"),
    Route("GET", "", _search, (), "Search all types"),
    Route("POST", "", bundle, ("batch", "transaction"), "Process a Bundle"),
)
