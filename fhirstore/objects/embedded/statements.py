"""The requests of the embedded store's writer, and how they are applied one by one: a statement each.

That is the way of a batch that cannot be one statement (`put_batch`): not all of it are PUTs, or a condition does not
hold. Conditions and windows are decided in the order of arrival, so each request sees the ones before it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import msgspec

from fhirstore.clock import Clock
from fhirstore.errors import (
    NotFollowed,
    ObjectDamaged,
    ObjectNotFound,
    OutcomeUnknown,
    PreconditionFailed,
    WriteWindowClosed,
)
from fhirstore.objects.base import Condition, IfAbsent, IfMatch, PutAnswer, Written
from fhirstore.objects.embedded.bodies import Packer, is_sealed, seal_of
from fhirstore.objects.embedded.database import meaning
from fhirstore.objects.embedded.facts import pack_facts, unpack_facts
from fhirstore.objects.embedded.put_batch import PutBatch, Row, how, time_row
from fhirstore.objects.etag import OF_NOTHING

_DELETE = "DELETE FROM objects WHERE key = ?"
_SOURCE = "SELECT o.seal, o.body, o.facts, b.etag FROM objects o LEFT JOIN bodies b ON b.id = o.body WHERE o.key = ?"
_SHARE = "INSERT INTO shares VALUES (?, 1) ON CONFLICT (body) DO UPDATE SET more = more + 1"
_COPY = (
    "INSERT INTO objects (key, modified, seal, body, facts) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET modified = excluded.modified, seal = excluded.seal, body = excluded.body, facts = excluded.facts"
)
_FACTS = "SELECT facts FROM objects WHERE key = ?"
_SET_FACTS = "UPDATE objects SET facts = ? WHERE key = ?"
_DELETE_MANY = "DELETE FROM objects WHERE key IN (SELECT value FROM json_each(?))"


class PutRow(msgspec.Struct):
    """Write one object. Its body is in `body`, or already durable in `file`, which the writer owns from now on."""

    key: str
    etag: str
    size: int
    body: bytes | None
    file: str | None
    condition: Condition | None
    expires: int | None
    follows: bool = False  # the rows before it in its call
    twin: str | None = None  # a key that probably has the same body
    facts: bytes | None = None  # packed, see `facts.py`


class DeleteRows(msgspec.Struct):
    """Remove these objects, absent ones included."""

    keys: tuple[str, ...]
    expires: int | None = None


class CopyRow(msgspec.Struct):
    """Give `key` the body of `source`, which both then share, and the source's facts or, if `replaces`, these."""

    key: str
    source: str
    replaces: bool
    facts: bytes | None


class TagRow(msgspec.Struct):
    """Replace the tags of one object."""

    key: str
    tags: Mapping[str, str]


Request: TypeAlias = PutRow | DeleteRows | CopyRow | TagRow


def key_of(request: Request) -> str:
    """Returns the key for error messages; "" for a delete."""
    return "" if isinstance(request, DeleteRows) else request.key


def row_of(put: PutRow, now: int, packed: bytes | None) -> Row:
    """Returns the row of a PUT at `now`, epoch ms. `packed`: its compressed body, unless that is empty or a file."""
    condition, twin, seal = put.condition, put.twin, seal_of(put.key, put.etag)
    base = condition.etag if isinstance(condition, IfMatch) else None
    if packed is None and put.file is None:
        return (put.key, now, seal, put.facts, None, 0, None, None, None, how(condition, empty=True, twin=False), base)
    asked = how(condition, empty=False, twin=twin is not None)
    return (put.key, now, seal, put.facts, put.etag, put.size, put.file, packed, twin, asked, base)


class Statements:
    """Applies requests on the writing connection. The caller has begun a transaction."""

    def __init__(self, cursor: sqlite3.Cursor, puts: PutBatch, clock: Clock, packer: Packer) -> None:
        self._cursor = cursor
        self._puts = puts
        self._clock = clock
        self._packer = packer

    def keep_time(self) -> None:
        """Store the time of this commit. Raises the errors of sqlite3."""
        self._puts.put(time_row(self._clock.now()))

    def apply(self, requests: Sequence[Request]) -> list[PutAnswer]:
        """Returns the answers to one call's requests; for a delete a Written without ETag.

        Raises the errors of sqlite3 that end the whole transaction.
        """
        answers: list[PutAnswer] = []
        for request in requests:
            last = isinstance(request, PutRow) and request.follows
            missed = last and not all(isinstance(answer, Written) for answer in answers)
            answers.append(NotFollowed(key_of(request)) if missed else self._apply(request))
        return answers

    def _apply(self, request: Request) -> PutAnswer:
        try:
            match request:
                case PutRow():
                    return self._put(request)
                case DeleteRows():
                    return self._delete(request)
                case CopyRow():
                    return self._copy(request)
                case TagRow():
                    return self._tag(request)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError) as error:
            # Only this statement was undone. Errors of the disk end the whole transaction instead.
            return OutcomeUnknown(key_of(request), meaning(error))
        except (ValueError, OverflowError) as error:
            return OutcomeUnknown("", f"the row cannot be bound: {type(error).__name__}")

    def _put(self, put: PutRow) -> PutAnswer:
        now = self._clock.now()
        if put.expires is not None and now > put.expires:
            return _late(put.key, now - put.expires)
        if not self._puts.put(row_of(put, now, self._packer.pack(put.body) if put.body else None)):
            taken = isinstance(put.condition, IfAbsent)
            return PreconditionFailed(put.key, "the key is taken" if taken else "another version is there, or none")
        return Written(put.etag, now)

    def _delete(self, delete: DeleteRows) -> PutAnswer:
        now = self._clock.now()
        if delete.expires is not None and now > delete.expires:
            return _late(delete.keys[0], now - delete.expires)
        if len(delete.keys) == 1:
            self._cursor.execute(_DELETE, delete.keys)
        else:
            self._cursor.execute(_DELETE_MANY, (json.dumps(delete.keys),))
        return Written("", now)

    def _copy(self, copy: CopyRow) -> PutAnswer:
        now = self._clock.now()
        copy.key.encode()  # before the first statement: a key that cannot be bound changes nothing
        row = self._cursor.execute(_SOURCE, (copy.source,)).fetchone()
        if row is None:
            return ObjectNotFound(copy.source, date=now)
        seal, body, facts, etag = row
        if body is None:
            etag = OF_NOTHING
        if not is_sealed(copy.source, etag, seal):
            return ObjectDamaged(copy.source, "its row is damaged", date=now)
        if body is not None:
            self._cursor.execute(_SHARE, (body,))
        kept = copy.facts if copy.replaces else facts
        self._cursor.execute(_COPY, (copy.key, now, seal_of(copy.key, etag), body, kept))
        return Written(etag, now)

    def _tag(self, tag: TagRow) -> PutAnswer:
        now = self._clock.now()
        row = self._cursor.execute(_FACTS, (tag.key,)).fetchone()
        if row is None:
            return ObjectNotFound(tag.key, date=now)
        facts = unpack_facts(row[0])
        if facts is None:
            return ObjectDamaged(tag.key, "its row is damaged", date=now)
        changed = msgspec.structs.replace(facts, tags=tag.tags)
        self._cursor.execute(_SET_FACTS, (pack_facts(tag.key, changed), tag.key))
        return Written("", now)


def _late(key: str, ago: int) -> WriteWindowClosed:
    return WriteWindowClosed(key, f"the window closed {ago} ms ago")
