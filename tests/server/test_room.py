"""An upload takes room for what is in memory of it, so that slow clients leave room for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fhirstore.objects.memory import MemoryStore
from server.content.room import Room
from server.http.in_flight import InFlight, Share
from server.settings import Settings
from tests.server.listening import listening, until
from tests.server.test_binary_streams import head

_MB = 1024 * 1024


async def test_slow_uploads_leave_room_for_others() -> None:
    """Forty announce a gigabyte each and send little: reads and writes of other Binaries are answered."""
    async with listening(MemoryStore(), Settings(inline_bytes=1000)) as server:
        slow = []
        for n in range(40):
            _, writer = await server.connect()
            writer.write(head("PUT", f"/fhir/Binary/slow-{n}", size=1_000_000_000) + bytes(100_000))
            slow.append(writer)
        await until(lambda: server.connections.in_flight.used > 0)
        content = bytes(2_000_000)
        put = head("PUT", "/fhir/Binary/b", "connection: close", size=len(content)) + content
        assert (await asyncio.wait_for(server.ask(put), 10)).startswith(b"HTTP/1.1 201")
        get = b"GET /fhir/Binary/b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        assert (await asyncio.wait_for(server.ask(get), 10)).startswith(b"HTTP/1.1 200")
        for writer in slow:
            writer.transport.abort()
        await until(lambda: server.connections.in_flight.used == 0)


@pytest.mark.parametrize("others", [0, 50 * _MB])
async def test_room_grows_with_what_is_in_memory(others: int) -> None:
    """Little for little; then a part; more parts where there is room, else when the store has taken one."""
    whole = InFlight(64 * _MB)
    Share(whole).take(others)
    room = Room(Share(whole), 32 * _MB)
    taken: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for size in (50_000, 50_000, _MB, *[_MB] * 30):
            yield bytes(size)

    async def upload() -> None:
        async for _ in room.taken(pieces()):
            taken.append(whole.used - others)

    uploading = asyncio.create_task(upload())
    await until(lambda: len(taken) >= 13)
    assert taken[:3] == [0, 128 * 1024, 12 * _MB]
    if others:
        await asyncio.sleep(0.01)
        assert (len(taken), uploading.done()) == (13, False)  # it waits for the store
        for sent in range(8 * _MB, 33 * _MB, 8 * _MB):
            room.sent(sent)
            await asyncio.sleep(0.01)
        assert max(taken) == 12 * _MB
    await asyncio.wait_for(uploading, 10)
    assert max(taken) == (12 if others else 32) * _MB
    room.sent(31 * _MB)
    assert whole.used == others + 12 * _MB
    room.end()
    assert whole.used == others
