"""The local indexes of a store's tenants in this process: each is opened when it is first needed.

An index belongs to a tenant and a machine, and lies in one file, `{tenant}.sqlite`, in a folder that all processes of
the machine may share. It is a copy: deleting it loses nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

from fhirstore.commit.limits import Context
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.format.keyspace import RECEIPT, is_tenant_id
from fhirstore.format.record import Record
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.indexing.indexer import Indexer
from fhirstore.indexing.options import IndexOptions
from fhirstore.indexing.status import IndexStatus
from fhirstore.tenancy import Place

MOST_AWAKE = 64
"""Tenants whose index files a process holds open, and follows."""


class Indexes:
    """The caller must `aclose` it. A temporary folder is removed with this object, or at the interpreter's end."""

    def __init__(
        self, options: IndexOptions, definitions: Definitions, *, is_served: Callable[[Place], bool] = lambda _: True
    ) -> None:
        """`is_served`: whether a place is still that of its tenant; the index of another one is followed no more."""
        self.options = options
        self._folder = options.folder
        self._definitions = definitions
        self._is_served = is_served
        self._indexers: dict[str, Indexer] = {}
        self._awake: OrderedDict[str, Indexer] = OrderedDict()  # the one used last at the end
        self._resting: set[asyncio.Task[None]] = set()

    @property
    def opened(self) -> tuple[Indexer, ...]:
        """The indexes that are in use in this process."""
        return tuple(self._indexers.values())

    @property
    def led(self) -> list[IndexStatus]:
        """How those are that this process looks after, cannot use, or has written something for that is not applied."""
        return [one.seen for one in self._awake.values() if one.lead.held or len(one.queue) or one.problem is not None]

    def open(self, tenant: str) -> Indexer | None:
        """Returns the index of a tenant if it is in use in this process."""
        return self._indexers.get(tenant)

    def of(self, place: Place, context: Context) -> Indexer:
        """Returns the index of a tenant; it is in use from now on. The file is opened when something is read from it.

        Where the tenant was removed and made anew, it is that of the new one, and the old one ends. Indexers of one
        file must not be made for two places.
        """
        known = self._indexers.get(place.tenant)
        if known is not None and known.place.since < place.since:
            self._ending(self._indexers.pop(place.tenant).aclose())
            known = None
        if known is None:
            catalogue = Catalogue.of(self._definitions, self.options.bases_of(place.tenant), texts=self.options.text)
            path = self._folder_of_files() / f"{place.tenant}.sqlite"
            known = self._indexers[place.tenant] = Indexer(
                place, context, catalogue, path, self.options, is_served=self._is_served
            )
        self._awake[place.tenant] = known
        self._awake.move_to_end(place.tenant)
        if len(self._awake) > MOST_AWAKE:
            self._let_one_rest()
        return known

    def _let_one_rest(self) -> None:
        """Closes the file of that which was not used for longest, and has nothing to do."""
        for tenant, indexer in self._awake.items():
            if not indexer.busy:
                del self._awake[tenant]
                self._ending(indexer.rest())
                return

    def _ending(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)

    def wrote(self, tenant: str, records: Iterable[tuple[str, str, Record]]) -> None:
        """Takes committed versions, as type, id and record: all of one transaction at once.

        To be called before the write is acknowledged. Nothing is kept of them where the index is not in use: the log
        has them.
        """
        indexer = self._indexers.get(tenant)
        if indexer is not None:
            indexer.wrote_all({f"{type_}/{id_}": record for type_, id_, record in records if type_ != RECEIPT})

    def met(self, tenant: str) -> None:
        """Takes note that a write is acknowledged which made no version: another process may have made the version that
        it found, such as the same deletion. Searches that rely on what this process wrote look for it in the log.
        """
        indexer = self._indexers.get(tenant)
        if indexer is not None and self.options.consistency == "local":
            indexer.queue.drop()

    def existing(self) -> list[str]:
        """Returns the tenants that have a file in the folder, whether it is in use or not. Blocks."""
        if self._folder is None or not self._folder.is_dir():
            return []
        return sorted(path.stem for path in self._folder.glob("*.sqlite") if is_tenant_id(path.stem))

    async def aclose(self) -> None:
        """Closes all files. They can be opened again."""
        indexers, self._indexers = list(self._indexers.values()), {}
        self._awake.clear()
        await asyncio.gather(*self._resting, return_exceptions=True)
        for indexer in indexers:
            await indexer.aclose()

    def _folder_of_files(self) -> Path:
        """Returns the folder; makes it where it is a temporary one."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fhirstore-index-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder
