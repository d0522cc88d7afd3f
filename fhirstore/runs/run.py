"""A sealed run, as readers see it: its files, read in streams and verified; downloaded; addressed by URLs."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fhirstore.clock import SystemIds
from fhirstore.commit.drive import drive
from fhirstore.errors import CorruptRecord, ObjectDamaged, ObjectNotFound, RunNotFound
from fhirstore.format.runs import PAYLOAD, SEAL, RunKeys, Seal, SealedFile, decode_seal
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.reading import FileReader, reading
from fhirstore.runs.sealing import look
from fhirstore.threads import in_thread


@dataclass(frozen=True, slots=True)
class Run:
    """A sealed run. It never changes; it can only be deleted."""

    _objects: ObjectStore = field(repr=False)
    _keys: RunKeys = field(repr=False)
    _seal: Seal = field(repr=False)

    def __repr__(self) -> str:
        return f"<Run {self.run_id} of {self.dataset}>"

    @property
    def dataset(self) -> str:
        return self._seal.dataset

    @property
    def partition(self) -> Mapping[str, str]:
        return self._seal.partition

    @property
    def run_id(self) -> str:
        return self._seal.run_id

    @property
    def created(self) -> int:
        """When it was sealed: epoch ms on the store's clock."""
        return self._seal.created

    @property
    def files(self) -> tuple[SealedFile, ...]:
        return self._seal.files

    @property
    def metadata(self) -> Mapping[str, object]:
        """What its writer gave to `finalize`."""
        return self._seal.metadata

    @property
    def tags(self) -> Mapping[str, str]:
        return self._seal.tags

    def file(self, name: str = PAYLOAD) -> SealedFile:
        """Returns the facts of a file: size, hash, lines. Raises RunNotFound where the run has no such file."""
        for file in self.files:
            if file.name == name:
                return file
        raise RunNotFound("This run has no file with this name")

    def key(self, name: str = PAYLOAD) -> str:
        """Returns the key of a file in the store. Raises RunNotFound."""
        return self._keys.file(self.file(name).object)

    @asynccontextmanager
    async def read(self, name: str = PAYLOAD, *, raw: bool = False) -> AsyncIterator[FileReader]:
        """Opens a file to read it as it was written, or `raw`: as it is stored.

        Raises RunNotFound (no such file; the run was deleted), ObjectDamaged (lost, or not as it was sealed),
        StoreUnavailable, StoreBusy.
        """
        file, key = self.file(name), self.key(name)
        try:
            async with reading(self._objects, key, file, raw=raw) as reader:
                yield reader
        except ObjectNotFound as error:
            await drive(look(self._keys), self._objects)
            raise ObjectDamaged(key, "a file of a sealed run is missing; restore it from a backup") from error

    async def url(self, name: str = PAYLOAD, *, expires_in: int = 3_600, filename: str | None = None) -> str:
        """Returns a URL that reads the file, as it is stored, for `expires_in` seconds; anybody who has it can.

        `filename`: what a browser saves it as. Raises RunNotFound, StoreCannot (only S3 has such URLs).
        """
        return await self._objects.presign_get(self.key(name), expires_in=expires_in, filename=filename)

    async def verify(self) -> None:
        """Reads all files whole. Raises ObjectDamaged for the first that is not as it was sealed, and as `read`."""
        for file in self.files:
            async with self.read(file.name, raw=True) as reader:
                async for _ in reader:
                    pass

    async def download(self, folder: str | os.PathLike[str]) -> Path:
        """Copies the run to a directory, verified, with the folders of Hive. Returns the folder of the run.

        `{folder}/{key}={value}/…/run_id={id}/` appears whole, or not at all; where it is there, nothing is done. Files
        have the names of their objects, so that readers see a compression by the suffix. Raises FileExistsError where
        something else is there, as the run of another dataset; OSError, and as `read`.
        """
        target = Path(folder) / self._keys.path
        if await in_thread(self._is_at, target):
            return target
        part = target.with_name(f"_{target.name}.{SystemIds().new()}.part")
        await in_thread(part.mkdir, parents=True)
        try:
            for file in self.files:
                await self._copy(file, part / file.object)
            await in_thread((part / SEAL).write_bytes, self._seal.encode())
            await in_thread(self._put_in_place, part, target)
        except BaseException:  # on any error or cancellation: leave nothing, and raise it
            shutil.rmtree(part, ignore_errors=True)
            raise
        return target

    async def _copy(self, file: SealedFile, path: Path) -> None:
        handle: BinaryIO = await in_thread(path.open, "wb")
        try:
            async with self.read(file.name, raw=True) as reader:
                async for chunk in reader:
                    await in_thread(handle.write, chunk)
        finally:
            await in_thread(handle.close)

    def _put_in_place(self, part: Path, target: Path) -> None:
        try:
            part.rename(target)
        except OSError:
            if not self._is_at(target):
                raise
            shutil.rmtree(part)  # another one was faster, with the same bytes

    def _is_at(self, target: Path) -> bool:
        """Returns whether this run was downloaded to `target`. Raises FileExistsError where something else is there."""
        if not target.exists():
            return False
        try:
            there = decode_seal((target / SEAL).read_bytes(), self._keys)
        except (OSError, CorruptRecord):
            there = None
        if there is None or there.attempt != self._seal.attempt:
            raise FileExistsError(f"{target} is not this run; download each dataset to a directory of its own")
        return True
