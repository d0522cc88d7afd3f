"""`fhirstore client add|list|remove|new-keys`: the clients of the token endpoint, and the keys of its tokens."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from fhirstore import Client, FhirStore, TenantStore, check_client
from fhirstore.errors import FhirStoreError, StoreMisconfigured
from server.access.authentication import configured_clients
from server.access.smart.own_tokens import key_maker
from server.commands.each_tenant import FAILED
from server.process.deployment import open_store
from server.settings import Settings

NOT_DONE = 1
_LONGEST = 256 * 1024  # bytes of a file of keys


def add_client(
    settings: Settings,
    name: str,
    *,
    tenant: str | None,
    scopes: tuple[str, ...],
    jwks: Path | None,
    jwks_uri: str | None,
    submitter: str | None,
    as_json: bool,
) -> int:
    """Registers a client. Returns 0; 1: there is one of this name; 2: something is wrong with it."""

    async def work(store: FhirStore) -> int:
        place = _tenant(store, settings, tenant)
        client = Client(
            id=f"{place.id}.{name}",
            tenant=place.id,
            scopes=scopes,
            jwks=None if jwks is None else _keys(jwks),
            jwks_uri=jwks_uri,
            submitter=submitter,
        )
        check_client(client, release=store.release)
        added = await place.credentials.clients.add(client)
        if as_json:
            _print_json({"clientId": client.id, "tenant": client.tenant, "added": added})
        else:
            typer.echo(client.id if added else f"{client.id} is registered already; remove it first")
        return 0 if added else NOT_DONE

    return _run(settings, work)


def list_clients(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Prints the clients of a tenant, in the store and in the file. Returns 0; 2: it could not run."""

    async def work(store: FhirStore) -> int:
        place = _tenant(store, settings, tenant)
        configured = [one for one in configured_clients(settings, store.release).values() if one.tenant == place.id]
        registered = await place.credentials.clients.list()
        rows = [(one, "file") for one in configured] + [(one, "store") for one in registered]
        if as_json:
            shown = [{**msgspec.to_builtins(one), "registered": where} for one, where in rows]
            _print_json({"tenant": place.id, "clients": shown})
            return 0
        table = Table("client_id", "scopes", "keys", "registered in", box=None)
        for one, where in rows:
            table.add_row(one.id, " ".join(one.scopes), one.jwks_uri or _kids(one), where)
        Console(soft_wrap=True).print(table if table.row_count else "no clients")
        return 0

    return _run(settings, work)


def remove_client(settings: Settings, id: str, *, as_json: bool) -> int:
    """Removes a client from the store. Returns 0; 1: there is none; 2: it could not run."""

    async def work(store: FhirStore) -> int:
        tenant = id.partition(".")[0]
        removed = await store.tenant(tenant).credentials.clients.remove(id)
        if as_json:
            _print_json({"clientId": id, "removed": removed})
        else:
            typer.echo(f"{id} removed" if removed else f"there is no client {id} in the store")
        return 0 if removed else NOT_DONE

    return _run(settings, work)


def make_new_keys(settings: Settings, *, tenant: str | None, as_json: bool) -> int:
    """Replaces all signing keys of a tenant by a new one. Returns 0; 2: it could not run."""

    async def work(store: FhirStore) -> int:
        place = _tenant(store, settings, tenant)
        keys = await place.credentials.keys.for_signing(key_maker(place.id), anew=True)
        if as_json:
            _print_json({"tenant": place.id, "kid": keys[0].kid})
        else:
            typer.echo(f"{keys[0].kid}: tokens that were signed with another key count no more within a minute")
        return 0

    return _run(settings, work)


def _tenant(store: FhirStore, settings: Settings, tenant: str | None) -> TenantStore:
    chosen = tenant or settings.only_tenant
    if chosen is None:
        raise StoreMisconfigured(detail="there are several tenants; name one with --tenant")
    return store.tenant(chosen)


def _keys(path: Path) -> Mapping[str, object]:
    """Returns the JWK set of a file that holds one, or a single JWK. Raises StoreMisconfigured."""
    try:
        body = path.read_bytes()
    except OSError as error:
        raise StoreMisconfigured(detail=f"{path}: {error.strerror or error}") from error
    try:
        found = json.loads(body) if len(body) <= _LONGEST else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StoreMisconfigured(detail=f"{path}: no JWK set, and no JWK")
    return found if "keys" in found else {"keys": [found]}


def _kids(client: Client) -> str:
    keys = (client.jwks or {}).get("keys")
    return ", ".join(str(key.get("kid")) for key in keys) if isinstance(keys, list) else ""


def _print_json(value: object) -> None:
    typer.echo(msgspec.json.encode(value).decode())


def _run(settings: Settings, work: Callable[[FhirStore], Awaitable[int]]) -> int:
    async def go() -> int:
        async with open_store(settings) as store:
            return await work(store)

    try:
        return asyncio.run(go())
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
