"""LIST on the embedded store: a walk along the key index, jumping over every folder that is rolled up.

Rows are stepped one by one and no further than the page needs, so a page costs its own length, whatever lies below
the folders it rolls up. A cursor is the last key or folder given out; only folders end with `/`.
"""

from __future__ import annotations

import sqlite3

from fhirstore.objects.base import Listed, Page

_FROM = "SELECT key, size, etag, modified FROM objects WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"
_BEHIND = "SELECT key, size, etag, modified FROM objects WHERE key > ? AND key < ? ORDER BY key LIMIT ?"
_AFTER_SLASH = chr(ord("/") + 1)
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)  # no characters of their own, absent from UTF-8


def list_page(
    connection: sqlite3.Connection,
    prefix: str,
    *,
    start_after: str | None,
    cursor: str | None,
    delimiter: bool,
    limit: int,
) -> Page:
    """As `ObjectStore.list`. Raises sqlite3.Error."""
    select, low = _FROM, prefix
    if start_after is not None and start_after >= low:
        select, low = _BEHIND, start_after
    if cursor is not None and cursor >= low:
        select, low = (_FROM, _past(cursor)) if cursor.endswith("/") else (_BEHIND, cursor)
    high = upper_bound(prefix)
    objects: list[Listed] = []
    prefixes: list[str] = []
    last = ""
    found = True
    while found:
        found = False
        left = limit - len(objects) - len(prefixes)
        for row in connection.execute(select, (low, high, left + 1)):
            if left == 0:
                return Page(tuple(objects), tuple(prefixes), last)
            slash = row[0].find("/", len(prefix)) if delimiter else -1
            left -= 1
            if slash >= 0:
                last = row[0][: slash + 1]
                prefixes.append(last)
                select, low, found = _FROM, _past(last), True
                break
            last = row[0]
            objects.append(Listed(*row))
    return Page(tuple(objects), tuple(prefixes), None)


def upper_bound(prefix: str) -> str | bytes:
    """The least value behind every key that starts with `prefix`."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < _LAST_CODE_POINT:
            code = _SURROGATES.stop if code + 1 in _SURROGATES else code + 1
            return prefix[:position] + chr(code)
    return b""  # for SQLite every text is less than every blob: no bound


def _past(folder: str) -> str:
    return folder[:-1] + _AFTER_SLASH
