"""Makes a copy of an index in the bucket, and takes one: parts are read, compressed and sent some at a time.

Memory: `_AT_ONCE` parts, compressed and not, so about 70 MB. A copy that turns out to be damaged is not taken: then the
index is built from the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import zstandard

from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import stored
from fhirstore.commit.limits import Context
from fhirstore.errors import ObjectArchived, ObjectDamaged, ObjectError, ObjectNotFound, Unavailable
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.facts import IndexFacts, facts_of
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.placing import IndexUnusable, free_at, noticing
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing.copies import MANIFEST, PART, Copy, Manifest, Part, part_key, remove_old_copies
from fhirstore.jobs.lease import Lease, LeaseLost, change, checkpoint, claim, end, put_once
from fhirstore.jobs.state import RELEASE, WAKE, State, after
from fhirstore.tenancy import Place

APART = 3_600_000
"""ms between two copies that are made of a tenant's index, by whatever machine."""
_LEASE = 60_000
_AT_ONCE = 6
_LEVEL = 3


@dataclass(frozen=True, slots=True)
class SavedCopy:
    """A copy that was made. `size`: bytes of the index; `stored`: of its parts in the bucket; `resources`: in it."""

    id: str
    size: int
    stored: int
    resources: int

    def as_json(self) -> dict[str, object]:
        """The copy as plain JSON values."""
        return asdict(self)


async def save_copy(file: IndexFile, place: Place, context: Context, *, apart: int = APART) -> SavedCopy | None:
    """Makes a copy and removes old ones. None: another machine makes one, or has made one within `apart` ms. Negative:
    make one, however lately another was made; nobody has to wait after it.

    Commit point: the PUT of the manifest. Raises Unavailable, LeaseLost, IndexDamaged, IndexUnusable.
    """
    if apart < 0:
        await drive(change(place.keys.search_index_state, _at_once, context=context), place.objects)
    claiming = claim(place.keys.search_index_state, context.ids.new(), context=context, length=_LEASE)
    got = await drive(claiming, place.objects)
    if isinstance(got, State):
        return None
    keeping = _Keeping(got[0], place, context)
    until = 0
    try:
        saved = await _save(file, place, context, keeping)
        await drive(remove_old_copies(place.keys, LAYOUT, now=context.now()), place.objects)
        until = context.now() + apart
        return saved
    finally:
        await keeping.end(until)


def _at_once(state: State, _: int) -> State | None:
    """Returns the state in which nobody has to wait; None where one who makes a copy holds it."""
    return after(state, WAKE) if state.expires else None


async def _save(file: IndexFile, place: Place, context: Context, keeping: _Keeping) -> SavedCopy:
    id_, path = context.ids.new(), Path(f"{file.path}.copy")
    prefix = place.keys.search_index_copy(LAYOUT, id_)
    await asyncio.to_thread(_copied, file, path)
    try:
        facts = await asyncio.to_thread(_facts, path)
        stored_bytes = 0

        async def send(number: int) -> Part:
            nonlocal stored_bytes
            part, body = await asyncio.to_thread(_packed, path, number)
            await drive(stored(part_key(prefix, number), body), place.objects)
            stored_bytes += len(body)
            await keeping.renew()
            return part

        size = await asyncio.to_thread(lambda: path.stat().st_size)
        parts = await _some_at_a_time(-(-size // PART), send)
        manifest = Manifest(
            LAYOUT, file.catalogue.digest, context.now(), facts.watermark, facts.resources, size, tuple(parts)
        )
        await drive(put_once(prefix + MANIFEST, manifest.encode(), until=keeping.until), place.objects)
        return SavedCopy(id_, size, stored_bytes, facts.resources)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def take_copy(copy: Copy, place: Place, path: Path) -> None:
    """Writes the index file of a copy to `path`. Raises IndexDamaged: it is not whole; IndexUnusable; Unavailable."""
    if free_at(path) < 2 * copy.manifest.size:
        raise IndexUnusable("The search index cannot be used now: its disk has no room for a copy")

    async def take(number: int) -> Part:
        try:
            body = (await place.objects.get(copy.part(number))).body
        except ObjectNotFound as error:
            raise IndexDamaged("The copy of the index was removed meanwhile") from error
        except (ObjectDamaged, ObjectArchived) as error:
            raise IndexDamaged("A part of the copy cannot be read") from error
        except ObjectError as error:
            raise Unavailable("The object store does not answer; try again later") from error
        part = copy.manifest.parts[number]
        await asyncio.to_thread(_unpack, path, number, body, part)
        return part

    with noticing(path):
        os.close(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
    await _some_at_a_time(len(copy.manifest.parts), take)


@dataclass(slots=True)
class _Keeping:
    """The lease of who makes a copy, renewed while it works."""

    lease: Lease
    place: Place
    context: Context
    _renewing: bool = False

    @property
    def until(self) -> int:
        return self.lease.state.expires

    async def renew(self) -> None:
        """Renews it where that is due. Raises LeaseLost."""
        if self.lease.due(self.context.now()) and not self._renewing:
            self._renewing = True
            try:
                self.lease = await drive(checkpoint(self.lease, context=self.context), self.place.objects)
            finally:
                self._renewing = False

    async def end(self, until: int) -> None:
        """Gives it up; nobody gets it before `until`, epoch ms. It ends by itself where that fails."""
        with suppress(LeaseLost, Unavailable):
            await drive(end(self.lease, RELEASE, until=until), self.place.objects)


async def _some_at_a_time(count: int, do: Callable[[int], Awaitable[Part]]) -> list[Part]:
    """Returns what `do` returns for each number. Raises what it raised, when what was begun with it has ended."""
    done: list[Part] = []
    for numbers in batched(range(count), _AT_ONCE):
        for one in await asyncio.gather(*map(do, numbers), return_exceptions=True):
            if isinstance(one, BaseException):
                raise one
            done.append(one)
    return done


def _copied(file: IndexFile, path: Path) -> None:
    path.unlink(missing_ok=True)
    if free_at(path) < 2 * file.path.stat().st_size:
        raise IndexUnusable("No copy of the search index can be made: its disk has no room for one")
    file.copy(path)
    path.chmod(0o600)


def _facts(path: Path) -> IndexFacts:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        return facts_of(connection, path)


def _packed(path: Path, number: int) -> tuple[Part, bytes]:
    with path.open("rb") as file:
        file.seek(number * PART)
        body = file.read(PART)
    return Part(len(body), hashlib.sha256(body).hexdigest()), zstandard.ZstdCompressor(level=_LEVEL).compress(body)


def _unpack(path: Path, number: int, packed: bytes, part: Part) -> None:
    try:
        if zstandard.frame_content_size(packed) != part.size:
            raise IndexDamaged("A part of the copy is damaged")
        body = zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise IndexDamaged("A part of the copy is damaged") from error
    if hashlib.sha256(body).hexdigest() != part.sha256:
        raise IndexDamaged("A part of the copy is damaged")
    with noticing(path), path.open("r+b") as file:
        file.seek(number * PART)
        file.write(body)
