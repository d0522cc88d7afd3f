"""The registered clients: those of the file FHIRSTORE_CLIENTS, and those in the registry of a tenant's store.

The id of a client of the store is `{tenant}.{name}`, so that it says where its registration is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from fhirstore import Client, FhirStore, check_client
from fhirstore.errors import StoreMisconfigured, UnknownTenant


class _Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    clients: tuple[Client, ...] = ()


def read_clients(path: Path, *, release: str) -> Mapping[str, Client]:
    """Returns the clients of a file, by id. Raises StoreMisconfigured with one line that says what to correct.

    A JSON document, `{"clients": [{…}, …]}`, or the same in TOML as `.toml`; every member as in `Client`.
    """
    try:
        body = path.read_bytes()
        decode = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
        clients = decode(body, type=_Configuration).clients
    except OSError as error:
        raise StoreMisconfigured(detail=f"{path}: {error.strerror or error}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise StoreMisconfigured(detail=f"{path}: {error}") from error
    return _by_id(clients, release)


def _by_id(clients: Iterable[Client], release: str) -> Mapping[str, Client]:
    found: dict[str, Client] = {}
    for client in clients:
        check_client(client, release=release)
        if client.id in found:
            raise StoreMisconfigured(detail=f"client {client.id!r} is configured twice")
        found[client.id] = client
    return found


class RegisteredClients:
    """All clients of a deployment."""

    def __init__(self, store: FhirStore, configured: Mapping[str, Client]) -> None:
        self._store = store
        self._configured = configured

    async def find(self, id: str) -> Client | None:
        """Returns the client; None: there is none. At most 1 GET. Raises as `Clients.find`."""
        configured = self._configured.get(id)
        if configured is not None:
            return configured
        tenant, dot, name = id.partition(".")
        if not dot or not name:
            return None
        try:
            found = await self._store.tenant(tenant).credentials.clients.find(id)
        except UnknownTenant:
            return None
        return found if found is not None and found.tenant == tenant else None
