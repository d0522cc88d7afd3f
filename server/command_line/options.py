"""Options that several commands have, and how a command reads the settings and fails."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Annotated, NoReturn

import typer

from server.settings import BadSetting, Settings, from_environment

Store = Annotated[
    str | None,
    typer.Option("--store", help="file:DIR, memory: or s3://bucket/prefix; default: FHIRSTORE_STORE, then file:./data"),
]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this one; default: all that are configured.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ProgressEvery = Annotated[
    float, typer.Option(min=0, help="Seconds between lines of progress where there is no terminal; 0: none.")
]


def read_settings(*, serving: bool = True) -> Settings:
    """Returns the settings of the environment. Ends the command with exit code 2 where one is wrong."""
    try:
        return from_environment(os.environ, serving=serving)
    except BadSetting as error:
        fail(str(error))


def settings_for(store: str | None) -> Settings:
    """Returns the settings of a command that looks after a store, and answers no requests."""
    settings = read_settings(serving=False)
    return settings if store is None else replace(settings, store=store)


def token_for(command: str) -> str | None:
    """Returns the bearer token that the environment has for a command: FHIRSTORE_{COMMAND}_TOKEN, or FHIRSTORE_TOKEN.

    Never an option: the arguments of a process can be read by every user of its machine.
    """
    return os.environ.get(f"FHIRSTORE_{command}_TOKEN") or os.environ.get("FHIRSTORE_TOKEN") or None


def fail(message: str) -> NoReturn:
    """Prints `message` on standard error, and ends the command with exit code 2."""
    print(f"fhirstore: {message}", file=sys.stderr)  # noqa: T201 - the error message of the command
    raise SystemExit(2)
