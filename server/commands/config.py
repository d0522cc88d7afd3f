"""`fhirstore config show`: every setting with its value and where that comes from. Secrets are never printed.

A variable whose name speaks of a secret is shown as `***`. Of the credentials for S3 only the source is told.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from rich.console import Console
from rich.table import Table

from fhirstore.errors import FhirStoreError
from fhirstore.objects import credentials_source
from server.settings import TABLE, BadSetting, Setting, Settings, from_environment
from server.settings.unknown import READ_BY_COMMANDS

WRONG = 1
MASK = "***"
_SECRET = re.compile(r"TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL|_KEY$")
_USER = re.compile(r"//[^/@\s]*@")
_LONGEST = 500  # characters of a value

FILES = frozenset({"FHIRSTORE_SUBMITTERS", "FHIRSTORE_TENANT_SETTINGS"})
"""The variables that name a file of further settings."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A setting as it is shown. `source`: default, environment, or file, which the environment names."""

    name: str
    value: str
    source: str


def run_show(env: Mapping[str, str], *, changed: bool, as_json: bool) -> int:
    """Prints the settings that `env` makes; `changed`: only those that are not the default.

    Returns 0; 1: a server would not start with them, and a line on stderr says why.
    """
    shown = [_shown(setting, env) for setting in TABLE.values()]
    shown += [Shown(name, MASK, "environment") for name in sorted(READ_BY_COMMANDS) if env.get(name, "").strip()]
    wrong: str | None = None
    credentials: str | None = None
    try:
        settings = from_environment(env)
        credentials = _credentials(settings)
    except BadSetting as error:
        wrong = str(error)
    if changed:
        shown = [one for one in shown if one.source != "default"]
    if as_json:
        rows = [{"name": one.name, "value": one.value, "source": one.source} for one in shown]
        report = {"settings": rows, "credentials": credentials, "error": wrong}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        table = Table("setting", "value", "source", box=None)
        for one in shown:
            table.add_row(one.name, one.value, one.source)
        Console(soft_wrap=True, markup=False, highlight=False).print(table)
        if credentials is not None:
            sys.stdout.write(f"\nS3 credentials: {credentials}\n")
    if wrong is not None:
        sys.stderr.write(f"fhirstore: {wrong}\n")
        return WRONG
    return 0


def masked(name: str, value: str) -> str:
    """Returns the value of a variable as it may be shown."""
    if _SECRET.search(name):
        return MASK
    clean = _USER.sub(f"//{MASK}@", value)
    return clean if len(clean) <= _LONGEST else clean[:_LONGEST] + "…"


def _shown(setting: Setting, env: Mapping[str, str]) -> Shown:
    value = env.get(setting.name, "").strip()
    if not value:
        return Shown(setting.name, setting.unset.replace("`", ""), "default")
    source = "environment"
    if setting.name in FILES:
        source = "file"
    return Shown(setting.name, masked(setting.name, value), source)


def _credentials(settings: Settings) -> str | None:
    """Returns where the credentials come from; None where the store needs none."""
    if not settings.store.startswith("s3:"):
        return None
    try:
        return asyncio.run(credentials_source())
    except FhirStoreError as error:
        return str(error)
