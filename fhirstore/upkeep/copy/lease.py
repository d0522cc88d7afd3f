"""The lease of a copy: who writes into the target, and until when. It also keeps the state of the copy.

Every PUT of a copier carries a write window that ends before its lease does, by the time that the store may take to
apply it. So when another copier has claimed the lease, nothing of the first one can appear any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fhirstore.batched import batched
from fhirstore.commit.drive import drive
from fhirstore.commit.idempotent import listed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, List
from fhirstore.commit.reading import ask
from fhirstore.errors import CopyRefused, Unavailable
from fhirstore.format.keyspace import COPIES
from fhirstore.jobs.lease import Lease, LeaseLost, checkpoint, claim, end
from fhirstore.jobs.state import RELEASE, decode_state
from fhirstore.jobs.state import State as LeaseState
from fhirstore.objects.base import ObjectStore
from fhirstore.upkeep.copy.state import COMPLETE, CopyState, state_of

_GETS = 64
_PATIENCE = 4  # lengths of a lease that one may be waited for, where the store's clock hardly moves
_POLL = 0.25  # seconds between two looks at a lease that another copier holds


class CopyLease:
    """A lease that this copier holds. `state`: of the copy; the caller replaces it, `save` and renewals store it."""

    def __init__(self, objects: ObjectStore, lease: Lease, context: Context, state: CopyState) -> None:
        self.state = state
        self._objects = objects
        self._lease = lease
        self._context = context
        self._turn = asyncio.Lock()
        self._lost: LeaseLost | None = None

    @property
    def takes_over(self) -> bool:
        """Whether another copier worked on this copy before, so that more may be there than its state says."""
        return self._lease.state.epoch > 1

    def window(self) -> int:
        """Returns the end of the write window of a PUT that is sent now, epoch ms. Raises LeaseLost."""
        if self._lost is not None:
            raise self._lost
        return self._lease.state.expires - self._context.limits.apply

    async def save(self) -> None:
        """Store the state and renew the lease. 1 PUT If-Match. Raises LeaseLost, Unavailable."""
        async with self._turn:
            try:
                work = self.state.as_work()
                self._lease = await drive(checkpoint(self._lease, context=self._context, work=work), self._objects)
            except LeaseLost as lost:
                self._lost = lost
                raise

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Renews the lease while the block runs, and gives it back with the state at its end, after an error too."""
        task = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            if self._lost is None:
                await self._release()

    async def _renew(self) -> None:
        while self._lost is None:
            await asyncio.sleep(self._lease.length / 3000)
            try:
                await self.save()
            except LeaseLost:
                return
            except Unavailable:
                continue  # the writes fail as well, and say so

    async def _release(self) -> None:
        try:
            async with self._turn:
                await drive(end(self._lease, RELEASE, work=self.state.as_work()), self._objects)
        except (LeaseLost, Unavailable):
            return  # it ends by itself; what was not stored is done again


async def claim_copy(objects: ObjectStore, key: str, first: CopyState, *, context: Context, length: int) -> CopyLease:
    """Claims the copy whose state has this `key`, and begins with `first` where there is none. `length`: ms.

    A lease that is not renewed is waited for: its copier was killed. Raises CopyRefused where another one is at work;
    CorruptRecord, Unavailable.
    """
    owner = context.ids.new()
    until: int | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE * length / 1000
    while True:
        got = await drive(claim(key, owner, context=context, length=length), objects)
        if isinstance(got, LeaseState):
            if loop.time() > deadline or (until is not None and got.expires > until):
                raise CopyRefused("Another process is copying into this store; wait until it has ended")
            until = got.expires
            await asyncio.sleep(_POLL)
            continue
        lease, _ = got
        return CopyLease(objects, lease, context, state_of(lease.state.work, key) or first)


async def unfinished_copies(objects: ObjectStore) -> list[str]:
    """Returns the tenants that are being copied into this store, or whose copy was broken off.

    1 LIST, 1 GET per tenant that was ever copied into it. Raises Unavailable, StoreDamaged, CorruptRecord.
    """
    unfinished: list[str] = []
    cursor: str | None = None
    while True:
        page = await drive(listed(List(COPIES, cursor=cursor)), objects)
        for some in batched([item.key for item in page.objects], _GETS):
            replies = await drive(ask(*(Get(key) for key in some)), objects)
            for key, reply in zip(some, replies, strict=True):
                state = None if isinstance(reply, Absent) else state_of(decode_state(reply.body, key).work, key)
                if not isinstance(reply, Absent) and (state is None or state.phase != COMPLETE):
                    unfinished.append(key.removeprefix(COPIES).removesuffix(".json"))
        cursor = page.cursor
        if cursor is None:
            return unfinished
