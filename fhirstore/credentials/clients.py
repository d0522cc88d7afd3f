"""The clients that are registered in a tenant's store: one object for each, changed by compare-and-set alone.

A client that was removed leaves its object, which says so: a DELETE that comes late could remove the client that was
registered anew under the same id.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.commit.backoff import CONTENDED
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.credentials.client import Client
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.jobs.lease import compare_and_set
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.tenancy import Place

_PAGE = 100


class ClientRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stored of a client; None: it was removed. `write`: fresh in each write, so that bodies never recur."""

    client: Client | None
    write: str
    format: int = 1


_decode = msgspec.json.Decoder(ClientRecord).decode


class Clients:
    """The registry of one tenant. Any number of callers may change it at once."""

    def __init__(self, place: Place, context: Context) -> None:
        self._place = place
        self._context = context

    async def find(self, id: str) -> Client | None:
        """Returns the client with this id; None: there is none. 1 GET. Raises CorruptRecord, Unavailable."""
        return await drive(_found(self._place.keys.client(id)), self._place.objects)

    async def list(self) -> list[Client]:
        """Returns all clients, by id. 1 LIST and 1 GET for each. Raises CorruptRecord, Unavailable."""
        found = await drive(_all(self._place.keys.clients()), self._place.objects)
        return sorted(found, key=lambda client: client.id)

    async def add(self, client: Client) -> bool:
        """Registers a checked client. Returns False where there is another one with its id. 1 GET + 1 PUT.

        Commit point: the PUT of its object. Raises CorruptRecord, Unavailable.
        """

        def decide(there: Client | None) -> bool:
            return there is None

        return await self._change(client.id, client, decide)

    async def remove(self, id: str) -> bool:
        """Removes a client; tokens that it has stay valid until they expire. Returns False where there is none.

        Commit point: the PUT of its object. 1 GET + 1 PUT. Raises CorruptRecord, Unavailable.
        """

        def decide(there: Client | None) -> bool:
            return there is not None

        return await self._change(id, None, decide)

    async def _change(self, id: str, new: Client | None, decide: Callable[[Client | None], bool]) -> bool:
        protocol = _changed(self._place.keys.client(id), new, decide, self._context)
        return await drive(protocol, self._place.objects)


def _found(key: str) -> Protocol[Client | None]:
    (reply,) = yield from ask(Get(key))
    return None if isinstance(reply, Absent) else decode_client(reply.body, key).client


def _all(folder: str) -> Protocol[list[Client]]:
    found: list[Client] = []
    cursor: str | None = None
    while True:
        page = yield from listed(List(folder, cursor=cursor, limit=_PAGE))
        clients = yield from side_by_side([_found(one.key) for one in page.objects])
        found += [client for client in clients if client is not None]
        cursor = page.cursor
        if cursor is None:
            return found


def _changed(key: str, new: Client | None, decide: Callable[[Client | None], bool], context: Context) -> Protocol[bool]:
    for n in range(CONTENDED.tries):
        (reply,) = yield from ask(Get(key))
        there = None if isinstance(reply, Absent) else decode_client(reply.body, key).client
        if not decide(there):
            return False
        condition = IF_ABSENT if isinstance(reply, Absent) else IfMatch(reply.etag)
        body = msgspec.json.encode(ClientRecord(new, context.ids.new()))
        if (yield from compare_and_set(key, body, condition)) is not None:
            return True
        yield CONTENDED.jittered(n, context.ids)
    raise Unavailable("Others keep changing this client; try again later")


def decode_client(body: bytes, key: str) -> ClientRecord:
    """Returns what is stored of a client. Raises CorruptRecord."""
    try:
        found = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if found.format != 1:
        raise CorruptRecord(key)
    return found
