"""What can be told of an index file: how far it is, and how large."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.noted import BUILDING, all_noted, has_facts
from fhirstore.index.local.placing import FILES, READER_CACHE, connected, noticing, swapping


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """`state`: BUILDING or READY. `watermark`, `complete`: epoch ms; the index has all that was acknowledged before
    `complete`. `seq`: the newest sequence number; `oldest`: the first that searches can be as of. `size`: bytes.
    """

    state: str
    uuid: str
    resources: int
    watermark: int
    complete: int
    seq: int
    oldest: int
    size: int


def facts_at(path: Path) -> IndexFacts | None:
    """Returns what can be told of the index at a path, without changing it; None where there is none.

    Raises IndexDamaged, IndexUnusable.
    """
    if not path.exists():
        return None
    with noticing(path), swapping(path, fcntl.LOCK_SH), closing(connected(path, cache=READER_CACHE)) as connection:
        connection.execute("BEGIN")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return None  # it is being made
        if not has_facts(connection):
            raise IndexDamaged("The file is no index")
        return facts_of(connection, path)


def facts_of(connection: sqlite3.Connection, path: Path) -> IndexFacts:
    """Returns what can be told of an index, read in the caller's transaction."""
    found = all_noted(connection)
    number = {key: value for key, value in found.items() if isinstance(value, int)}
    return IndexFacts(
        str(found.get("state", BUILDING)),
        str(found.get("uuid", "")),
        int(connection.execute("SELECT count(*) FROM resource").fetchone()[0]),
        number.get("watermark", 0),
        number.get("complete", 0),
        number.get("seq", 0),
        number.get("oldest", 0),
        sum(file.stat().st_size for suffix in FILES if (file := Path(f"{path}{suffix}")).exists()),
    )
