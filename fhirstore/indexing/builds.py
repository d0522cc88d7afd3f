"""Builds an index, and fills parameters that are new: one process of the machine does, the others wait for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.history.page import safe_time
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.file import IndexFile
from fhirstore.index.local.noted import READY
from fhirstore.index.local.schema import LAYOUT
from fhirstore.indexing.building import Building
from fhirstore.indexing.copies import newest_copy
from fhirstore.indexing.copying import take_copy
from fhirstore.indexing.extracting import Extracting
from fhirstore.indexing.filling import fill
from fhirstore.indexing.held import HeldFile
from fhirstore.indexing.latest import Latest
from fhirstore.indexing.lead import Lead
from fhirstore.indexing.status import IndexBehind
from fhirstore.tenancy import Place
from fhirstore.threads import in_thread

_LOOK = 0.2  # seconds between looks at what another process builds
_LOG = logging.getLogger("fhirstore")


class Builds:
    """Those of one index. The caller must `aclose` it. `keeps_lead`: whether the follower leads, so that the lead is
    kept afterwards. `problem`: is told what hinders it; None: nothing any more.
    """

    def __init__(
        self,
        place: Place,
        context: Context,
        held: HeldFile,
        lead: Lead,
        *,
        keeps_lead: Callable[[], bool],
        problem: Callable[[str | None], None],
    ) -> None:
        self._place = place
        self._context = context
        self._held = held
        self._lead = lead
        self._keeps_lead = keeps_lead
        self._problem = problem
        self._built = Latest(self.build_alone)
        self._building: asyncio.Task[None] | None = None
        self._filling: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Ends what is under way."""
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait([self._filling])
        await self._built.aclose()

    @property
    def busy(self) -> bool:
        """Whether the index is being built, or filled."""
        return any(task is not None and not task.done() for task in (self._building, self._filling))

    async def build(self) -> None:
        """Builds the index, or goes on with that, from a copy if there is one; nothing to do if it is ready."""
        await self._built.run()

    def begin(self) -> asyncio.Task[None]:
        """Builds in the background, however long its callers wait."""
        if self._building is None or self._building.done():
            self._building = asyncio.create_task(self._built.run())
            self._building.add_done_callback(_retrieved)
        return self._building

    def begin_filling(self, file: IndexFile) -> None:
        """Fills new parameters of the tenant in the background, where there are any."""
        filling = self._filling is not None and not self._filling.done()
        if not filling and file.catalogue.unfilled:
            self._filling = asyncio.create_task(self._fill_alone(file))
            self._filling.add_done_callback(_retrieved)

    async def build_alone(self, *, from_copy: bool = True) -> None:
        """Builds, or waits while another process of this machine does. `from_copy`: begin with one of the bucket."""
        led = self._lead.held
        await in_thread(self._held.opened)  # makes the folder
        while not self._lead.take():
            await asyncio.sleep(_LOOK)
            with suppress(IndexDamaged):
                if await in_thread(self._held.ready) is not None:
                    return
        try:
            if from_copy:
                await self._take_copy()
            await self._build()
        finally:
            self._led(before=led)

    async def _fill_alone(self, file: IndexFile) -> None:
        """Does so unless another process of this machine leads: that one does."""
        led = self._lead.held
        if not self._lead.take():
            return
        try:
            await fill(self._place, self._context, file)
        finally:
            self._led(before=led)

    async def _take_copy(self) -> None:
        """Puts the newest copy of the bucket in the place of a file that is empty. Nothing if there is none."""
        file = await in_thread(self._held.opened)
        if await in_thread(lambda: file.watermark):
            return
        path = Path(f"{self._held.path}.taken")
        try:
            copy = await drive(newest_copy(self._place.keys, LAYOUT, self._held.catalogue.digest), self._place.objects)
            if copy is None:
                return
            await take_copy(copy, self._place, path)
            await self._held.replace(path)
        except IndexDamaged as error:
            self._problem(f"no copy was taken: {error}")  # it is built from the log
            _LOG.warning("fhirstore: the search index of %s is built from the log: %s", self._place.tenant, error)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _build(self) -> None:
        try:
            file = await in_thread(self._held.opened)
            if await in_thread(file.fact, "purges") is None:
                await in_thread(file.note, "purges", safe_time(self._context))
            extracting = Extracting(file, self._held.identity)
            try:
                await Building(self._place, self._context, file, extracting).run()
            finally:
                await extracting.aclose()
            await in_thread(file.mark, READY)
            self._problem(None)
        except IndexDamaged as error:
            await self._held.renew(error)
            raise IndexBehind("The search index was damaged, and is built again; try again later") from error

    def _led(self, *, before: bool) -> None:
        """Lets another process lead again, unless this one did `before`, or its follower does by now."""
        if not before and not self._keeps_lead():
            self._lead.release()


def _retrieved(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # whoever asks next begins the build again, and is told to come again meanwhile
