"""Facts about an index file, by name: its table `meta`."""

from __future__ import annotations

import sqlite3
from typing import Any, TypeVar

BUILDING, READY = "building", "ready"
"""The values of `state`: whether searches can be answered."""
_Result = TypeVar("_Result")


def noted(connection: sqlite3.Connection, key: str, otherwise: _Result) -> _Result:
    """Returns a fact about the file; `otherwise` where it is not known."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return otherwise if row is None else row[0]


def note(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Notes a fact, in the caller's transaction."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))


def all_noted(connection: sqlite3.Connection) -> dict[str, Any]:
    """Returns all facts, a dozen, by one statement."""
    return dict(connection.execute("SELECT key, value FROM meta"))


def has_facts(connection: sqlite3.Connection) -> bool:
    """Returns whether a file has the table."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is not None
