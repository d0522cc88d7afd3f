"""LIST on the embedded store: a walk along the key index, jumping over every folder that is rolled up.

Rows are read one by one and no further than the page needs, so a page costs its own length, whatever lies below the
folders that it rolls up. A cursor is the last key or folder of a page; only folders end with `/`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fhirstore.objects.base import Listed, Page
from fhirstore.objects.embedded.database import connect, is_damage
from fhirstore.objects.etag import OF_NOTHING

_SELECT = f"""
SELECT o.key, coalesce(b.size, 0), coalesce(b.etag, '{OF_NOTHING}'), o.modified
FROM objects o LEFT JOIN bodies b ON b.id = o.body
"""
_BARE = "SELECT o.key, 0, '', o.modified FROM objects o"  # where bodies are damaged
_FROM = "WHERE o.key >= ? AND o.key < ? ORDER BY o.key LIMIT ?"
_BEHIND = "WHERE o.key > ? AND o.key < ? ORDER BY o.key LIMIT ?"
_DOWN = "SELECT key FROM objects WHERE key > ? AND key < ? ORDER BY key DESC"
_AFTER_SLASH = chr(ord("/") + 1)
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)  # no characters of their own, absent from UTF-8


class KeysOutOfOrder(sqlite3.DatabaseError):
    """The keys of a listing do not ascend: the file is damaged, which SQLite has not noticed."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def __init__(self) -> None:
        super().__init__("keys are out of order")


def list_page(
    connection: sqlite3.Connection,
    prefix: str,
    *,
    start_after: str | None,
    cursor: str | None,
    delimiter: bool,
    limit: int,
    bare: bool = False,
) -> Page:
    """As `ObjectStore.list`. Raises sqlite3.Error.

    `bare`: keys only, without sizes and ETags, for damaged bodies. Then a page ends where the damage begins.
    """
    columns = _BARE if bare else _SELECT
    where, low = _FROM, prefix
    if start_after is not None and start_after >= low:
        where, low = _BEHIND, start_after
    if cursor is not None and cursor >= low:
        where, low = (_FROM, _past(cursor)) if cursor.endswith("/") else (_BEHIND, cursor)
    high = upper_bound(prefix)
    objects: list[Listed] = []
    prefixes: list[str] = []
    last = previous = ""
    found = True
    try:
        while found:
            found = False
            left = limit - len(objects) - len(prefixes)
            for row in connection.execute(f"{columns} {where}", (low, high, left + 1)):
                key = row[0]
                if not isinstance(key, str) or key <= previous or not key.startswith(prefix):
                    raise KeysOutOfOrder
                previous = key
                if left == 0:
                    return Page(tuple(objects), tuple(prefixes), last)
                slash = key.find("/", len(prefix)) if delimiter else -1
                left -= 1
                if slash >= 0:
                    last = key[: slash + 1]
                    prefixes.append(last)
                    where, low, found = _FROM, _past(last), True
                    break
                last = key
                objects.append(Listed(*row))
    except sqlite3.DatabaseError as error:
        if not bare or not last or not is_damage(error):
            raise
        return Page(tuple(objects), tuple(prefixes), last)
    return Page(tuple(objects), tuple(prefixes), None)


def behind_damage(directory: Path, prefix: str, behind: str) -> str | None:
    """Returns a cursor to the keys behind the damage that a listing met after `behind`; None where none can be read.

    Walks the listing from its end, so several damaged places and what lies between them count as one.
    """
    first = None
    with closing(connect(directory, patience=1)) as connection:
        try:
            for (key,) in connection.execute(_DOWN, (behind, upper_bound(prefix))):
                if not behind < key or (first is not None and key >= first):
                    break
                first = key
        except sqlite3.Error:
            pass
    return None if first is None else first[:-1] + chr(max(ord(first[-1]) - 1, 0)) + chr(_LAST_CODE_POINT)


def upper_bound(prefix: str) -> str | bytes:
    """Returns the least value greater than every key that starts with `prefix`."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < _LAST_CODE_POINT:
            code = _SURROGATES.stop if code + 1 in _SURROGATES else code + 1
            return prefix[:position] + chr(code)
    return b""  # for SQLite every text is less than every blob: no bound


def _past(folder: str) -> str:
    return folder[:-1] + _AFTER_SLASH
