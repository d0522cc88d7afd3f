"""The tables of an index file, and what its rows mean.

A row belongs to a resource, which has one number (`rid`) in all tables. It is valid for an *interval* of sequence
numbers: from `since` on, in a table that is named after a kind of value; from `since` until before `until` in the table
beside it, `…_old`, where it is kept as long as searches may page as of a time before `until`. One applied batch is one
sequence number; readers see whole batches. An update that leaves a value as it was touches no row of it.

`rid` is made of the time of the resource's first event and a hash of its name (`rid_of`), so that it rises with time,
and is the same in every index of the tenant: searches in the order of `rid` can be continued by any server.

| table | a row |
|---|---|
| resource | a resource that is there; `held`: its tokens and uris, packed, so that an update finds them |
| gone | a resource that was deleted or purged, so that no earlier version of it is applied any more |
| token … number | values, clustered by parameter and value; the index by `rid` leads from a resource to its values |
| pair, pairing | codes together with another value of the same resource, in the order of the values (see `pairs`) |
| system, unit | the numbers of code systems, and of units of quantities as written |
| code | the texts of codes, by parameter, whose order `token` does not have; not of identifiers |
| phrase | the numbers of texts that many resources share, by parameter: of `uri` and of `text` |
| shape, shape_parameter | a set of parameters that have values (2 * pid + several), and the sets with a parameter |
| cut | resources with more values than are indexed |
| definition | what a SearchParameter resource of the tenant says |
| parameter | a parameter that follows from them: up to which `rid` it is filled, and since when it is ready |
| moment | of each sequence number: before when all that was acknowledged is in it, and when it was made; epoch ms |
| meta | facts about the file |
"""

from __future__ import annotations

import sqlite3
from hashlib import blake2b

LAYOUT = 6
"""Another number makes every file of before unusable: it is built again."""

VALUES = {
    "token": ("pid", "code", "system"),
    "reference": ("pid", "target"),
    "uri": ("pid", "phrase", "derived"),
    "string": ("pid", "text", "exact"),
    "text": ("pid", "phrase"),
    "word": ("pid", "word"),
    "date": ("pid", "wide", "low", "high"),
    "number": ("pid", "unit", "wide", "low", "high"),
    "pair": ("pairing", "low"),
}
"""The columns of each table of values, without `rid` and `since`."""
BY_RESOURCE = ("reference", "string", "text", "word", "date", "number")
"""The tables that have an index by resource."""
OF_PHRASES = ("uri", "text")
"""The tables whose texts are numbers of `phrase`."""
"""The columns of `resource` that `resource_old` has, too."""

_YEAR_2000 = 946_684_800_000
_HASH_BITS = 22
_MOST_MS = 2**41 - 1


def create(connection: sqlite3.Connection) -> None:
    """Makes the tables of an empty file, in the caller's transaction."""
    for statement in _statements():
        connection.execute(statement)


def rid_of(born: int, name: str) -> int:
    """Returns the number of the resource `Type/id` whose first event is of `born` (epoch ms). Others may have it, too:
    then the next free one is taken. The hash in it has no key, so that all indexes of a tenant have the same numbers.
    """
    ms = max(0, min(born - _YEAR_2000, _MOST_MS))
    digest = blake2b(name.encode(), digest_size=8).digest()
    return ms << _HASH_BITS | int.from_bytes(digest) & ((1 << _HASH_BITS) - 1)


def _statements() -> list[str]:
    lines = [
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
        "CREATE TABLE resource (rid INTEGER PRIMARY KEY, name INTEGER NOT NULL, type INTEGER NOT NULL,"
        " id TEXT NOT NULL, version INTEGER NOT NULL, t INTEGER NOT NULL, shape INTEGER NOT NULL,"
        " since INTEGER NOT NULL, held BLOB)",
        "CREATE UNIQUE INDEX resource_by_name ON resource (name)",
        "CREATE INDEX resource_by_type ON resource (type)",
        "CREATE INDEX resource_by_shape ON resource (shape)",
        "CREATE INDEX resource_by_t ON resource (t)",
        "CREATE TABLE resource_old (rid INTEGER, name INTEGER, type INTEGER, id TEXT, version INTEGER, t INTEGER,"
        " shape INTEGER, since INTEGER, until INTEGER, PRIMARY KEY (rid, since)) WITHOUT ROWID",
        "CREATE INDEX resource_old_by_until ON resource_old (until)",
        "CREATE INDEX resource_old_by_name ON resource_old (name)",
        "CREATE TABLE gone (name INTEGER PRIMARY KEY, rid INTEGER NOT NULL, version INTEGER NOT NULL, type INTEGER,"
        " id TEXT)",
        "CREATE INDEX gone_by_rid ON gone (rid)",
        "CREATE TABLE system (number INTEGER PRIMARY KEY, uri TEXT NOT NULL UNIQUE)",
        "CREATE TABLE unit (number INTEGER PRIMARY KEY, written TEXT NOT NULL UNIQUE)",
        "CREATE TABLE phrase (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL, text TEXT NOT NULL,"
        " UNIQUE (pid, text))",
        "CREATE TABLE code (pid INTEGER NOT NULL, text TEXT NOT NULL, code INTEGER NOT NULL, PRIMARY KEY (pid, text))"
        " WITHOUT ROWID",
        "CREATE INDEX code_by_code ON code (pid, code)",
        "CREATE TABLE pairing (number INTEGER PRIMARY KEY, pid INTEGER NOT NULL, code INTEGER NOT NULL,"
        " system INTEGER NOT NULL, other INTEGER NOT NULL, unit INTEGER NOT NULL,"
        " UNIQUE (pid, code, system, other, unit))",
        "CREATE TABLE shape (number INTEGER PRIMARY KEY, type INTEGER NOT NULL, members BLOB NOT NULL,"
        " UNIQUE (type, members))",
        "CREATE TABLE shape_parameter (member INTEGER, shape INTEGER, PRIMARY KEY (member, shape)) WITHOUT ROWID",
        "CREATE TABLE definition (id TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE parameter (pid INTEGER PRIMARY KEY, type TEXT NOT NULL, content BLOB NOT NULL,"
        " filled INTEGER NOT NULL, ready INTEGER)",
        "CREATE TABLE cut (rid INTEGER PRIMARY KEY, type INTEGER NOT NULL)",
        "CREATE INDEX cut_by_type ON cut (type)",
        "CREATE TABLE moment (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, made INTEGER NOT NULL)",
    ]
    for table, columns in VALUES.items():
        typed = ", ".join(f"{column} {_type(table, column)} NOT NULL" for column in (*columns, "rid", "since"))
        key = ", ".join((*columns, "rid"))
        lines.append(f"CREATE TABLE {table} ({typed}, PRIMARY KEY ({key})) WITHOUT ROWID")
        lines.append(
            f"CREATE TABLE {table}_old ({typed}, until INTEGER NOT NULL, PRIMARY KEY ({key}, since)) WITHOUT ROWID"
        )
        lines.append(f"CREATE INDEX {table}_old_by_until ON {table}_old (until)")
        if table in BY_RESOURCE:
            lines.append(f"CREATE INDEX {table}_by_rid ON {table} (rid, pid)")
        lines.append(f"CREATE INDEX {table}_old_by_rid ON {table}_old (rid, {columns[0]})")
    return lines


def _type(table: str, column: str) -> str:
    if table in ("number", "pair") and column in ("low", "high"):
        return "BLOB"  # of a pair, a whole number stays one
    return "TEXT" if column == "text" else "INTEGER"
