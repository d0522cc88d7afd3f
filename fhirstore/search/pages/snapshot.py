"""Pages of a search that all show one moment: that of the first page.

The cursor names the moment: the sequence number that it has in each index that has answered so far, and its time. So
whatever is written meanwhile, each match of the moment comes exactly once. What has ended since is kept for an hour;
then the cursor is refused, never answered in another way.

Another index, such as that of another server, goes on at the first of its own moments that holds all of that time.
It may hold writes of the few seconds until it looked; resources that these did not change come exactly once, too.

A cursor is opaque to clients and holds no right: each page is read for whoever asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import structs

from fhirstore.errors import AccessDenied, CursorExpired, InvalidResource
from fhirstore.index.local.reader import Reader
from fhirstore.paging import decode, encode
from fhirstore.search.criteria.criterion import Query
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.pages.finding import Found, Name, find
from fhirstore.search.pages.includes import included
from fhirstore.search.plans.keys import keys_of
from fhirstore.search.plans.order import Key, Position
from fhirstore.search.plans.plan import Planner
from fhirstore.search.plans.sources import At, Binder

LONGEST = 8_192
"""Characters of a cursor."""
_MOST_APART = 60_000
"""ms that the moment of another index may be after that of the cursor."""
_MOST_INDEXES = 16
_LONGEST_KEY = 256
"""Characters of a text, or bytes, up to which the cursor has a key itself."""
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Short = Annotated[str, msgspec.Meta(max_length=32)]


class Cursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="s"):
    """`t`: the time of the moment, epoch ms. `seqs`: its sequence number in an index, and the time of that batch, by
    the `uuid` of the file. `search`: a digest of the search. `keys`, `rid`: the place of a match; a text begins with
    `t`, bytes with `b`, and `l` stands for what is too long. `name`: a digest of `Type/id` of the match. `backwards`:
    the page before it, not after. `total`: as on the first page.
    """

    t: _Count
    seqs: Annotated[dict[_Short, tuple[_Count, _Count]], msgspec.Meta(max_length=_MOST_INDEXES)]
    search: _Short
    keys: tuple[_Integer | str | None, ...] = ()
    rid: _Count = 0
    name: _Short = ""
    backwards: bool = False
    total: _Count | None = None

    def at(self, match: Name, *, backwards: bool = False) -> str:
        """Returns the text of the cursor of the page after a match, or before it."""
        place = {"keys": tuple(_written(match.keys)), "rid": match.rid, "name": _name(match.type, match.id)}
        return encode(structs.replace(self, **place, backwards=backwards))


_READ_CURSOR = msgspec.json.Decoder(Cursor)


@dataclass(frozen=True, slots=True)
class SnapshotPage:
    """`matches` in order; `included`: what comes along, and whether that was `cut`. `seq`: of the moment. `next`,
    `previous`: cursors of the pages beside, None where there is none. `total`: of all pages, None where it was not
    asked for. `origins`: which match was the first that led to each of `included`, from 0. `here`: a cursor of this
    moment. `partly`: the searched types of which some resources have more values than are indexed.
    """

    matches: tuple[Name, ...]
    included: tuple[Name, ...]
    cut: bool
    seq: int
    next: str | None
    previous: str | None
    total: int | None
    origins: tuple[int, ...]
    here: Cursor
    partly: tuple[str, ...] = ()

    def ended_after(self, matches: int) -> SnapshotPage:
        """Returns the page with only the first so many of its matches, at least 1, and what comes along with those; its
        `next` goes on after them.
        """
        if matches >= len(self.matches):
            return self
        kept = [(one, first) for one, first in zip(self.included, self.origins, strict=True) if first < matches]
        return replace(
            self,
            matches=self.matches[:matches],
            included=tuple(one for one, _ in kept),
            origins=tuple(first for _, first in kept),
            next=self.here.at(self.matches[matches - 1]),
        )


def page(
    reader: Reader, query: Query, cursor_text: str | None, *, now: int, limits: Limits = everything
) -> SnapshotPage:
    """Returns the first page, or the one of the cursor. `limits`: what may be found.

    `now`: epoch ms; whichever machine's clock it is, nothing that the reader shows was acknowledged later. Raises
    InvalidResource (not a cursor of this search, too-costly), AccessDenied, CursorExpired, Unsupported.
    """
    cursor = None if cursor_text is None else _read(query, cursor_text)
    if cursor is None:
        here = Cursor(now, {reader.uuid: (reader.seq, reader.at(reader.seq))}, _digest(query))
        found = find(reader, query, now=now, limits=limits)
        here = structs.replace(here, total=found.total)
        return _made(reader, query, found, here, before=False, after=found.more, now=now, limits=limits)
    here = _moment(reader, cursor, now=now, limits=limits)
    seq = here.seqs[reader.uuid][0]
    asked = query if query.total != "accurate" else replace(query, total="none")
    place = Position(_keys(reader, query, here, seq, now=now, limits=limits), here.rid)
    if cursor.backwards:
        found = find(reader, asked, now=now, seq=seq, before=place, limits=limits)
        return _made(reader, query, found, here, before=found.more, after=True, now=now, limits=limits)
    found = find(reader, asked, now=now, seq=seq, after=place, limits=limits)
    return _made(reader, query, found, here, before=True, after=found.more, now=now, limits=limits)


def _made(
    reader: Reader, query: Query, found: Found, here: Cursor, *, before: bool, after: bool, now: int, limits: Limits
) -> SnapshotPage:
    """`before`, `after`: whether matches precede and follow."""
    names, seq = found.names, here.seqs[reader.uuid][0]
    along = included(reader, query, names, now=now, seq=seq, limits=limits)
    return SnapshotPage(
        names,
        along.names,
        along.cut,
        seq,
        here.at(names[-1]) if after and names else None,
        here.at(names[0], backwards=True) if before and names else None,
        here.total,
        along.origins,
        here,
        _partly(reader, query, limits),
    )


def _partly(reader: Reader, query: Query, limits: Limits) -> tuple[str, ...]:
    """Returns the types, of those that may be searched without limits: about others it would tell what is hidden."""
    found: list[str] = []
    if cut := reader.cut():
        for type_ in sorted(cut & {one for one, _ in query.branches}):
            with suppress(AccessDenied):
                found += [type_] if limits(type_) is None else []
    return tuple(found)


def _moment(reader: Reader, cursor: Cursor, *, now: int, limits: Limits) -> Cursor:
    """Returns the cursor with the sequence number that its moment has in this index. Raises CursorExpired."""
    known = cursor.seqs.get(reader.uuid)
    if known is None:
        seq = reader.first_since(cursor.t)
        if reader.at(seq) - cursor.t > _MOST_APART or len(cursor.seqs) == _MOST_INDEXES:
            raise _expired()
        known = seq, reader.at(seq)
        cursor = structs.replace(cursor, seqs={**cursor.seqs, reader.uuid: known})
    if len(cursor.seqs) > 1 and not _is_there(reader, cursor, known[0], now=now, limits=limits):
        raise _expired()  # another index has found it, at a place that this one does not have
    seq, at = known
    if not reader.oldest <= seq <= reader.seq or reader.at(seq) != at:
        raise _expired()  # after a power cut the file may have had this number for another batch
    return cursor


def _is_there(reader: Reader, cursor: Cursor, seq: int, *, now: int, limits: Limits) -> bool:
    """Returns whether the place of a cursor is that of the same resource in this index. A cursor that was made up tells
    nothing of what is hidden.
    """
    found = reader.name_of(cursor.rid)
    if found is None or _name(*found) != cursor.name:
        return False
    return Planner(reader, At.of(reader, seq), now, Binder(), limits).sees(found[0], cursor.rid)


def _name(type: str, id: str) -> str:
    return hashlib.blake2b(f"{type}/{id}".encode(), digest_size=6).hexdigest()


def _expired() -> CursorExpired:
    return CursorExpired("The moment that this search shows is not kept any more; start again without the cursor")


def _read(query: Query, text: str) -> Cursor:
    try:
        cursor = decode(text, _READ_CURSOR, longest=LONGEST)
        if cursor.search != _digest(query) or len(cursor.keys) != len(query.sort):
            raise ValueError("of another search")
        for key in cursor.keys:
            _key(key)
    except ValueError as error:
        text = "The cursor is not one that this search gave out; start again without it"
        raise InvalidResource(text, code="value") from error
    return cursor


def _digest(query: Query) -> str:
    """Returns a digest of what decides matches and their order."""
    asked = ([type_ for type_, _ in query.branches], query.used, query.place)
    return hashlib.blake2b(msgspec.json.encode(asked), digest_size=12).hexdigest()


def _written(keys: Iterable[Key]) -> Iterable[int | str | None]:
    for key in keys:
        if isinstance(key, (bytes, str)) and len(key) > _LONGEST_KEY:
            yield "l"
        elif isinstance(key, bytes):
            yield f"b{key.hex()}"
        else:
            yield f"t{key}" if isinstance(key, str) else key


def _keys(reader: Reader, query: Query, cursor: Cursor, seq: int, *, now: int, limits: Limits) -> tuple[Key, ...]:
    """Returns the keys of the place of a cursor; those that it has not itself are looked up."""
    if "l" in cursor.keys:
        return keys_of(Planner(reader, At.of(reader, seq), now, Binder(), limits), query.sort, cursor.rid)
    return tuple(map(_key, cursor.keys))


def _key(written: int | str | None) -> Key:
    """Reads a key. Raises ValueError."""
    if not isinstance(written, str):
        return written
    return bytes.fromhex(written[1:]) if written.startswith("b") else written[1:]
