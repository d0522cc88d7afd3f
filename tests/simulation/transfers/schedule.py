"""One seed: uploads are begun, sent, completed, given up and swept by three processes; then everything settles.

What must hold: one upload makes at most one Binary, and every completion that is answered has the same one; its content
is what was sent, whole, for ever; nothing is made of an upload that was given up, refused or expired; and when all is
over, the store has the contents of the Binaries and nothing else of the uploads.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from fhirstore import Version
from fhirstore.errors import (
    FhirStoreError,
    Gone,
    NotFound,
    PayloadMismatch,
    TicketRefused,
    UploadConflict,
    UploadGone,
    UploadRefused,
)
from fhirstore.objects.base import IF_ABSENT
from fhirstore.objects.memory import MemoryStore
from fhirstore.transfers.record import UploadRequest
from tests.simulation.transfers.world import HOUR, TENANT, LoopClock, Process, VirtualLoop

CONTENTS = (b"content one", b"content two")
_ENDED = (UploadGone, UploadRefused, NotFound)


@dataclass(slots=True)
class Sent:
    """An upload as its clients know it."""

    id: str
    method: str
    direct: bool
    promised: bytes | None
    expires: float  # seconds of the loop
    contents: set[bytes] = field(default_factory=set)
    answers: list[Version] = field(default_factory=list)
    given_up: bool = False
    purged: bool = False


class Story:
    """The schedule of one seed. `problems`: what must not be."""

    def __init__(self, seed: int) -> None:
        self.problems: list[str] = []
        self._chance = Random(seed)
        self._loop = asyncio.get_running_loop()
        self._inner = MemoryStore(LoopClock(self._loop))
        self._calm = Process(self._inner, self._chance, calm=True)
        self._processes = [Process(self._inner, self._chance) for _ in range(3)]
        self._uploads: list[Sent] = []

    @property
    def answers(self) -> int:
        """Completions that were answered with a Binary."""
        return sum(len(upload.answers) for upload in self._uploads)

    async def play(self) -> None:
        """Plays it to the end, and judges."""
        chance = self._chance
        work: list[Coroutine[Any, Any, None]] = []
        for _ in range(chance.choice((1, 2, 2))):
            work += await self._begin()
        tasks = [asyncio.ensure_future(self._after(self._when(), each)) for each in work]
        for process in self._processes:
            if chance.random() < 0.4:
                self._loop.call_later(chance.choice((0.05, 1, 60)) * chance.random(), process.crash)
        await asyncio.gather(*tasks)
        await self._settle()
        await self._judge()

    async def _begin(self) -> list[Coroutine[Any, Any, None]]:
        """Begins an upload. Returns what happens to it."""
        chance = self._chance
        method, promised = chance.choice(("put", "put", "post", "ticket")), chance.random() < 0.3
        content = chance.choice(CONTENTS)
        asked = UploadRequest(
            content_type="text/plain",
            method="post" if method == "post" else "put",
            most=100,
            sha256=hashlib.sha256(content).hexdigest() if promised else None,
            expires_in=chance.choice((60, 3600, 40_000)),
        )
        uploads = self._calm.tenant.uploads
        if method == "ticket":
            uploads._presigned = self._no_urls  # type: ignore[method-assign, assignment] # as of a store without URLs
        begun = await uploads.begin(asked, largest=1000)
        upload = Sent(
            begun.upload.id,
            method,
            begun.upload.direct,
            content if promised else None,
            self._loop.time() + asked.expires_in,
        )
        self._uploads.append(upload)
        work = []
        for _ in range(chance.choice((1, 1, 2, 3))):
            body = content if chance.random() < 0.6 else chance.choice(CONTENTS)
            work.append(self._send(upload, begun.how, body))
        for _ in range(chance.choice((1, 2, 3, 4))):
            work.append(self._complete(upload, chance.choice(self._processes)))
        if chance.random() < 0.25:
            work.append(self._give_up(upload, chance.choice(self._processes)))
        if chance.random() < 0.2:
            work.append(self._purge(upload))
        for _ in range(chance.choice((0, 1, 2))):
            work.append(self._sweep(chance.choice(self._processes)))
        return work

    async def _no_urls(self, *_: object) -> None:
        return None

    def _when(self) -> float:
        """Seconds from now: mostly soon, sometimes days."""
        kind = self._chance.random()
        return self._chance.random() * (
            0.1 if kind < 0.5 else 5 if kind < 0.8 else 3 * HOUR if kind < 0.9 else 60 * HOUR
        )

    async def _after(self, seconds: float, work: Coroutine[Any, Any, None]) -> None:
        await asyncio.sleep(seconds)
        await work

    async def _in(self, process: Process, work: Coroutine[Any, Any, None]) -> None:
        with suppress(asyncio.CancelledError, FhirStoreError):
            await asyncio.shield(process.begin(work))

    async def _send(self, upload: Sent, how: object, body: bytes) -> None:
        """Sends content as a client does: to the store itself, or with a ticket."""
        if self._loop.time() > upload.expires:
            return
        prefix = f"{TENANT}/binary"
        if not upload.direct:
            await self._in(self._chance.choice(self._processes), self._send_ticket(upload, how, body))
        elif upload.method == "post":
            upload.contents.add(body)
            await self._inner.put(f"{prefix}/incoming/{upload.id}", body)
        else:
            with suppress(FhirStoreError):
                await self._inner.put(f"{prefix}/payload/{upload.id}", body, condition=self.put_condition)
                upload.contents.add(body)

    put_condition = IF_ABSENT

    async def _send_ticket(self, upload: Sent, how: object, body: bytes) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield body

        uploads = self._chance.choice(self._processes).tenant.uploads
        assert isinstance(how, dict)
        upload.contents.add(body)
        with suppress(UploadConflict, TicketRefused, PayloadMismatch, *_ENDED):
            await uploads.receive(await uploads.admitted(upload.id, how), pieces())

    async def _complete(self, upload: Sent, process: Process) -> None:
        await self._in(process, self._completing(upload, process))

    async def _completing(self, upload: Sent, process: Process) -> None:
        for _ in range(4):
            try:
                done = await process.tenant.uploads.complete(upload.id, wait=self._chance.choice((0.0, 1.0, 100.0)))
            except _ENDED:
                return
            except FhirStoreError:
                await asyncio.sleep(1)
                continue
            if done.version is not None:
                await self._answered(upload, done.version)
                return
            await asyncio.sleep(self._chance.random() * 40)

    async def _answered(self, upload: Sent, version: Version) -> None:
        upload.answers.append(version)
        if not upload.purged:
            await self._check_content(upload, version)

    async def _check_content(self, upload: Sent, version: Version) -> None:
        """The content can be read, and is one that was sent, and as promised."""
        assert version.payload is not None
        try:
            async with self._calm.tenant.payloads.open(version.payload) as stream:
                found = b"".join([chunk async for chunk in stream])
        except FhirStoreError:
            self.problems.append(f"{upload.method}: the content of a Binary is gone")
            return
        if hashlib.sha256(found).hexdigest() != version.payload.sha256:
            self.problems.append(f"{upload.method}: the content of a Binary was replaced")
        if found not in upload.contents or (upload.promised is not None and found != upload.promised):
            self.problems.append(f"{upload.method}: the Binary has another content than was sent or promised")

    async def _give_up(self, upload: Sent, process: Process) -> None:
        async def give_up() -> None:
            if (await process.tenant.uploads.abort(upload.id)).status == "aborted":
                upload.given_up = True

        await self._in(process, give_up())

    async def _purge(self, upload: Sent) -> None:
        """Removes the Binary, once there is one, so that its content is swept."""
        if upload.answers:
            upload.purged = True
            await self._calm.tenant.upkeep.purge("Binary", upload.answers[0].id, by="somebody")

    async def _sweep(self, process: Process) -> None:
        async def sweep() -> None:
            await process.tenant.upkeep.sweep()

        await self._in(process, sweep())

    async def _settle(self) -> None:
        """All processes but one end; what is under way arrives; everything is completed, or expires, and is swept."""
        for process in self._processes:
            process.crash()
        await asyncio.sleep(40 * HOUR)
        for upload in self._uploads:
            for _ in range(3):
                with suppress(FhirStoreError):
                    done = await self._calm.tenant.uploads.complete(upload.id, wait=100)
                    if done.version is not None:
                        await self._answered(upload, done.version)
        for _ in range(7):
            await asyncio.sleep(26 * HOUR)
            await self._calm.tenant.upkeep.sweep()

    async def _judge(self) -> None:
        """Says what is wrong in the end."""
        found = {one.id: one async for one in self._calm.tenant.history("Binary") if one.method != "DELETE"}
        for upload in self._uploads:
            self._judge_answers(upload, found)
        if len(found) > len(self._uploads):
            self.problems.append(f"{len(self._uploads)} uploads made {len(found)} Binaries")
        expected = await self._contents_of(found.values())
        kept = await self._keys("payload")
        if kept - expected:
            self.problems.append(f"{len(kept - expected)} objects are left that nothing refers to")
        if expected - kept:
            self.problems.append("the content of a Binary is gone")
        left = (await self._keys("incoming") | await self._keys("uploads")) - {
            f"{TENANT}/binary/uploads/signing-key.json"
        }
        if left:
            self.problems.append(f"{len(left)} objects of uploads are left")

    def _judge_answers(self, upload: Sent, found: Mapping[str, Version]) -> None:
        if len({(one.id, one.content) for one in upload.answers}) > 1:
            self.problems.append("completions of one upload have different answers")
        if upload.given_up and upload.answers:
            self.problems.append("a Binary was made of an upload that was given up")
        if upload.answers and not upload.purged and upload.answers[0].id not in found:
            self.problems.append("a Binary that was answered is not there")

    async def _contents_of(self, versions: Iterable[Version]) -> set[str]:
        """Checks the contents of the Binaries that are there. Returns the keys of their objects."""
        keys: set[str] = set()
        for version in versions:
            with suppress(Gone, NotFound):
                read = await self._calm.tenant.read("Binary", version.id)
                assert read.payload is not None
                keys.add(f"{TENANT}/{read.payload.object}")
                for upload in self._uploads:
                    if any(answer.id == read.id for answer in upload.answers):
                        await self._check_content(upload, read)
        return keys

    async def _keys(self, folder: str) -> set[str]:
        return {item.key for item in (await self._inner.list(f"{TENANT}/binary/{folder}/")).objects}


def simulate_transfers(seed: int) -> Story:
    """Plays the schedule of a seed. Returns it, with its problems."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    try:

        async def go() -> Story:
            story = Story(seed)
            await story.play()
            return story

        return loop.run_until_complete(go())
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        asyncio.set_event_loop(None)
