"""The index file that this process has open: one at a time, and another one after it was damaged or replaced."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

from fhirstore.index.local.apply import IndexDamaged, IndexReplaced
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.noted import READY
from fhirstore.index.local.placing import install, remove, set_aside
from fhirstore.threads import in_thread


class HeldFile:
    """`catalogue`: of the parameters of the release. `identity`: names the store and the tenant, so that the file of
    another one is noticed, and of one that was removed.
    """

    def __init__(self, path: Path, catalogue: Catalogue, identity: str) -> None:
        self.path = path
        self.identity = identity
        self.file: IndexFile | None = None
        self._catalogue = catalogue
        self._opening = threading.Lock()

    @property
    def catalogue(self) -> Catalogue:
        """The parameters that can be searched, as far as this process knows."""
        file = self.file
        return self._catalogue if file is None else file.catalogue

    def opened(self) -> IndexFile:
        """Returns the file; makes it. Blocks. Raises IndexUnusable."""
        with self._opening:
            if self.file is None:
                self.file = IndexFile.open(self.path, self._catalogue, identity=self.identity)
            return self.file

    def ready(self) -> IndexFile | None:
        """Returns the file; None where it is being built. Blocks. Raises IndexUnusable, IndexReplaced."""
        file = self.opened()
        file.check()
        return file if file.state == READY else None

    async def renew(self, error: IndexDamaged) -> None:
        """Forgets a file that cannot be used, and sets it aside where it is damaged; the next use opens another."""

        def do() -> None:
            with self._opening:
                file = self.file
                if file is None:
                    return
                if isinstance(error, IndexReplaced):
                    with suppress(IndexReplaced):
                        file.check()
                        return  # somebody has opened it again
                self.file = None
            file.close()
            if not isinstance(error, IndexReplaced):
                with suppress(FileNotFoundError):
                    set_aside(self.path, str(error), only=file.inode)

        await in_thread(do)

    async def replace(self, taken: Path) -> None:
        """Puts another file in its place. Raises IndexDamaged, IndexUnusable."""
        await self.close()
        await asyncio.to_thread(install, self.path, taken, self._catalogue, identity=self.identity)

    async def close(self) -> None:
        """Closes the file; the next use opens it again."""

        def do() -> None:
            file = self._let_go()
            if file is not None:
                file.close()

        await in_thread(do)

    async def leave(self) -> None:
        """Removes the file that this process has open: its tenant was removed. That of another tenant is left alone."""

        def do() -> None:
            file = self._let_go()
            if file is not None:
                file.close()
                with suppress(FileNotFoundError):
                    remove(self.path, only=file.inode)

        await in_thread(do)

    async def drop(self) -> bool:
        """Removes the file. Returns whether there was one; whoever searches next builds another. Other processes
        notice at their next search."""

        def do() -> bool:
            file = self._let_go()
            if file is not None:
                file.close()
            return self.path.parent.exists() and remove(self.path)

        return await in_thread(do)

    def _let_go(self) -> IndexFile | None:
        with self._opening:
            file, self.file = self.file, None
            return file
