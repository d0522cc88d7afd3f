"""Reads the settings from environment variables, and refuses what is unknown, malformed or contradicts itself."""

from __future__ import annotations

from collections.abc import Mapping

from server.settings.contradictions import contradictions
from server.settings.table import TABLE, Settings
from server.settings.unknown import unknown_variables


class BadSetting(Exception):
    """Environment variables have values that they cannot have; the message names each and says what it must be."""


def from_environment(env: Mapping[str, str], *, serving: bool = True) -> Settings:
    """Reads the settings from `env`; an empty variable counts as not set. Raises BadSetting, naming every error.

    `serving`: requests will come, so they must be able to name their tenant.
    """
    wrong = unknown_variables(env, [one.name for one in TABLE.values()])
    found: dict[str, object] = {}
    for name, one in TABLE.items():
        value = env.get(one.name, "").strip()
        try:
            if value:
                found[name] = one.read(value)
        except ValueError as error:
            wrong.append(f"{one.name}: {error}")
    if not wrong:
        settings = Settings(**found)  # type: ignore[arg-type] # each is what its field's own `read` made
        wrong = contradictions(settings, env, serving=serving)
    if wrong:
        raise BadSetting("; ".join(wrong))
    return settings
