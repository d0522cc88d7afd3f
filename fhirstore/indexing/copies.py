"""Copies of the index in the bucket, from which a new machine starts: what they are, which there are, which can go.

    index/{layout}/{ulid}/00000.zst …       parts of an index file, in its order, each compressed by itself
    index/{layout}/{ulid}/manifest.json     what they are together; it is written last: without it there is no copy

A copy never changes. It has a watermark like every index, so whoever takes it follows the log from there. It carries
the key of its hashes, and takes its numbers from the tenant's resources alone; it is as worth protecting as they are.
The newest two of a layout are kept. A copy that was never sealed is left for a day, since somebody may be writing it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fhirstore.batched import batched
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import ObjectArchived
from fhirstore.format.keyspace import Keyspace, parse_search_index_key
from fhirstore.index.local.facts import IndexFacts
from fhirstore.objects.base import Listed

PART = 8 * 1024 * 1024
"""Bytes of a part before it is compressed; the last one has fewer."""
MANIFEST = "manifest.json"
_KEPT = 2
_FEWEST = 10_000  # resources
_DAY = 86_400_000
_OTHER_LAYOUT = 30 * _DAY  # for servers that are not updated yet
_MOST_PARTS = 20_000  # 160 GB


class Part(msgspec.Struct, frozen=True):
    """`size`, `sha256` (hex): of its bytes before they are compressed."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What a copy is. `catalogue`: the digest of its search parameters; `at`: when it was made, `watermark`: epoch ms;
    `resources`: how many it has; `size`: bytes of the file.
    """

    layout: int
    catalogue: str
    at: int
    watermark: int
    resources: int
    size: int
    parts: tuple[Part, ...]

    def encode(self) -> bytes:
        """Returns the object's body."""
        return msgspec.json.encode(self)

    @property
    def sound(self) -> bool:
        """Whether its parts can be a file: they are of the right sizes."""
        sizes = [part.size for part in self.parts]
        whole = all(size == PART for size in sizes[:-1]) and 0 < (sizes or [0])[-1] <= PART
        return whole and len(sizes) <= _MOST_PARTS and sum(sizes) == self.size


_decode = msgspec.json.Decoder(Manifest).decode


class Copy(msgspec.Struct, frozen=True):
    """A copy that can be taken. `prefix`: of its keys."""

    id: str
    prefix: str
    manifest: Manifest

    def part(self, number: int) -> str:
        """The key of a part; numbers begin with 0."""
        return part_key(self.prefix, number)


def part_key(prefix: str, number: int) -> str:
    """Returns the key of a part of the copy with this prefix."""
    return f"{prefix}{number:05d}.zst"


def newest_copy(keys: Keyspace, layout: int, catalogue: str | None = None) -> Protocol[Copy | None]:
    """Returns the newest sealed copy of a layout; None if there is none. `catalogue`: only with these parameters.

    1 LIST, and 1 GET for each that is looked at: the newest ones first. Raises Unavailable.
    """
    prefix = keys.search_index_copies(layout)
    folders: list[str] = []
    request = List(prefix, delimiter=True)
    while True:
        page = yield from listed(request)
        folders += page.prefixes
        if page.cursor is None:
            break
        request = List(prefix, cursor=page.cursor, delimiter=True)
    for folder in reversed(folders[-2 * _KEPT :]):
        manifest = yield from _manifest(folder + MANIFEST)
        if manifest is not None and manifest.layout == layout and catalogue in (None, manifest.catalogue):
            return Copy(folder.removeprefix(prefix).rstrip("/"), folder, manifest)
    return None


def _manifest(key: str) -> Protocol[Manifest | None]:
    """Returns the manifest; None where there is none that can be read. Raises Unavailable."""
    try:
        (reply,) = yield from ask(Get(key))
    except ObjectArchived:
        return None
    return None if isinstance(reply, Absent) else _read(reply.body)


def worth_a_copy(facts: IndexFacts, newest: Copy | None, *, now: int) -> bool:
    """Returns whether a copy should be made: the newest is older than a day, or lacks a tenth of the resources."""
    if facts.resources < _FEWEST:
        return False  # as soon built from the log
    if newest is None:
        return True
    more = facts.watermark > newest.manifest.watermark and now - newest.manifest.at > _DAY
    return more or abs(facts.resources - newest.manifest.resources) > newest.manifest.resources // 10


def remove_old_copies(keys: Keyspace, layout: int, *, now: int, all: bool = False) -> Protocol[int]:
    """Removes what is not kept (`all`: everything). Returns how many objects. `now`: of the store, epoch ms.

    1 LIST per thousand objects, 1 DELETE if there are any to remove. Raises Unavailable; then do it again.
    """
    found: list[Listed] = []
    request = List(keys.search_index())
    while True:
        page = yield from listed(request)
        found += page.objects
        if page.cursor is None:
            break
        request = List(keys.search_index(), cursor=page.cursor)
    ours = [item for item in found if parse_search_index_key(keys, item.key) is not None]
    gone = [item.key for item in ours] if all else _old(keys, layout, ours, now)
    for some in batched(sorted(gone, key=lambda key: not key.endswith(MANIFEST)), 1_000):  # never a torn copy
        yield from removed(*some)
    return len(gone)


def _old(keys: Keyspace, layout: int, items: Iterable[Listed], now: int) -> list[str]:
    copies: dict[tuple[int, str], list[Listed]] = {}
    for item in items:
        if (parsed := parse_search_index_key(keys, item.key)) is not None:
            copies.setdefault(parsed[:2], []).append(item)
    sealed: dict[int, list[str]] = {}
    for (number, id_), some in sorted(copies.items(), reverse=True):
        if any(item.key.endswith(MANIFEST) for item in some):
            sealed.setdefault(number, []).append(id_)
    gone: list[str] = []
    for (number, id_), some in copies.items():
        age = now - max(item.modified for item in some)
        here = sealed.get(number, [])
        kept = age <= _OTHER_LAYOUT or number == layout if id_ in here[:_KEPT] else age <= _DAY and id_ not in here
        if not kept:
            gone += [item.key for item in some]
    return gone


def _read(body: bytes) -> Manifest | None:
    """Returns the manifest; None where it is none: the copy is then as good as not there."""
    try:
        found = _decode(body)
    except msgspec.MsgspecError:
        return None
    return found if found.sound else None
