"""`fhirstore client`: the commands that register clients of the token endpoint (FHIRSTORE_AUTH=smart)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.options import AsJson, Store, fail, settings_for

commands = typer.Typer(help="Register programs that get tokens (FHIRSTORE_AUTH=smart).", no_args_is_help=True)

OfTenant = Annotated[
    str | None, typer.Option("--tenant", help="The tenant it belongs to; default: the only one that is configured.")
]


@commands.command()
def add(  # noqa: PLR0917 - a command's parameters are its options
    name: Annotated[str, typer.Argument(help="A name of your choice; its client_id becomes TENANT.NAME.")],
    scopes: Annotated[
        list[str], typer.Option("--scope", help="A scope, like system/Patient.rs; repeated, or separated by spaces.")
    ],
    jwks: Annotated[Path | None, typer.Option(help="File with its public keys: a JWK set, or one JWK.")] = None,
    jwks_uri: Annotated[str | None, typer.Option(help="URL of its public keys, instead.")] = None,
    submitter: Annotated[
        str | None, typer.Option(help="Submitter, as system|value, in whose name it may submit in bulk.")
    ] = None,
    tenant: OfTenant = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Register a client, and print its client_id. Servers know it at once.

    Exit code 1 if there is a client of this name already; 2 if something is wrong with it, or it could not run.
    """
    from server.commands.registered_clients import add_client

    if (jwks is None) == (jwks_uri is None):
        fail("--jwks or --jwks-uri: one of them")
    code = add_client(
        settings_for(store),
        name,
        tenant=tenant,
        scopes=tuple(word for scope in scopes for word in scope.split()),
        jwks=jwks,
        jwks_uri=jwks_uri,
        submitter=submitter,
        as_json=as_json,
    )
    raise typer.Exit(code)


@commands.command("list")
def list_(tenant: OfTenant = None, store: Store = None, as_json: AsJson = False) -> None:
    """List the clients of a tenant: of its store, and of the file FHIRSTORE_CLIENTS.

    Exit code 2 if it could not run.
    """
    from server.commands.registered_clients import list_clients

    raise typer.Exit(list_clients(settings_for(store), tenant=tenant, as_json=as_json))


@commands.command()
def remove(
    id: Annotated[str, typer.Argument(help="Its client_id.", metavar="CLIENT_ID")],
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Remove a client: it gets no more tokens. Those that it has count until they expire, 330 seconds at most.

    Exit code 1 if there is no such client; 2 if it could not run.
    """
    from server.commands.registered_clients import remove_client

    raise typer.Exit(remove_client(settings_for(store), id, as_json=as_json))


@commands.command("new-keys")
def new_keys(tenant: OfTenant = None, store: Store = None, as_json: AsJson = False) -> None:
    """Replace the keys that tokens of a tenant are signed with; tokens signed before count no more within a minute.

    Needed only where a key has become known to others: keys are replaced every 30 days by themselves. A server process
    goes on accepting tokens that it has verified before, until they expire. Exit code 2 if it could not run.
    """
    from server.commands.registered_clients import make_new_keys

    raise typer.Exit(make_new_keys(settings_for(store), tenant=tenant, as_json=as_json))
