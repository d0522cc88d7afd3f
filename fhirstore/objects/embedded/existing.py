"""Checks that a directory holds an embedded store, and writes nothing there.

Commands that look after a store use it; otherwise they would make an empty store at a misspelt path and report it
clean.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.embedded.database import DATABASE, connect, is_ours, meaning

_ADVICE = "check the path; `fhirstore serve` makes a new store"
_EMPTY = f"{DATABASE} in it is an empty database"
_PATIENCE = 10.0  # seconds to wait where SQLite itself locks


def refuse_what_is_no_store(directory: Path) -> None:
    """Raises StoreMisconfigured, with one line that says what is there instead, where the directory holds no store."""
    try:
        wrong = _wrong(directory)
    except OSError as error:
        wrong = error.strerror or "it cannot be read"
    except sqlite3.Error as error:
        raise StoreMisconfigured("", f"{directory}: {meaning(error)}") from error
    if wrong == _EMPTY and _holds(directory / "bodies"):
        raise StoreMisconfigured("", f"{directory}: {_EMPTY} beside bodies of objects; restore it from a backup")
    if wrong is not None:
        raise StoreMisconfigured("", f"no fhirstore at {directory}: {wrong}; {_ADVICE}")


def _wrong(directory: Path) -> str | None:
    """Returns what is there instead of a store. Raises OSError, or sqlite3.Error for a damaged database."""
    if not _exists(directory):
        return "there is no such directory"
    if not directory.is_dir():
        return "it is a file, not a directory"
    database = directory / DATABASE
    if not _exists(database):
        return f"the directory holds other files, and no {DATABASE}" if _holds(directory) else "it is empty"
    if not database.is_file():
        return f"{DATABASE} in it is no file"
    with closing(connect(directory, patience=_PATIENCE)) as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and not is_ours(connection):
            return f"{DATABASE} in it is not a fhirstore database"
    return _EMPTY if tables == 0 else None


def _holds(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())


def _exists(path: Path) -> bool:
    """As `Path.exists`, but a path that cannot be inspected raises OSError."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
