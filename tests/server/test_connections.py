"""What clients may hold of a server: connections, time and bytes, and what happens beyond that."""

from __future__ import annotations

import asyncio
import gzip
import resource
import socket
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from fhirstore.objects.memory import MemoryStore
from server.http.in_flight import Crowded, InFlight, Share
from server.process.connections import most_connections
from server.settings import BadSetting, Settings, from_environment
from tests.server.listening import HeldStore, Listening, listening, until
from tests.server.processes import ServeProcess

_HOST = b"Host: localhost\r\n"
_GET = b"GET /health/live HTTP/1.1\r\n" + _HOST + b"\r\n"
_LONG_AGO = 1000.0  # seconds, more than any limit
_KIB = 1024


def _head(length: int, type_: bytes = b"application/fhir+json") -> bytes:
    return b"POST /fhir/Binary HTTP/1.1\r\n%sContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (_HOST, type_, length)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the connection ends, also by a reset."""
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionResetError:
        return b""


# --- time ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (b"GET /fhir/metadata HTTP/1.1\r\nHos", b"HTTP/1.1 408 "),
        (_head(1000) + b"{", b"HTTP/1.1 408 "),
        (
            _head(1000, b"application/pdf").replace(b"Content-Length: 1000", b"Transfer-Encoding: chunked"),
            b"HTTP/1.1 408",
        ),
    ],
    ids=["nothing", "half a head", "half a body", "no chunk"],
)
async def test_a_client_that_stops_in_its_request_is_sent_away(sent: bytes, answer: bytes) -> None:
    """After the time limit it gets 408 if it has begun, and the connection ends; its request is given up."""
    async with listening(MemoryStore()) as server:
        reader, writer = await server.connect()
        writer.write(sent)
        await asyncio.sleep(0.1)
        server.connections.look(_now())
        server.connections.look(_now() + 5)
        assert not reader.at_eof()
        server.connections.look(_now() + _LONG_AGO)
        assert (await _rest(reader)).startswith(answer)
        writer.close()
        assert (await server.ask(_GET.replace(b"Host", b"Connection: close\r\nHost"))).startswith(b"HTTP/1.1 200")


async def test_a_body_may_take_long_as_long_as_it_comes() -> None:
    """A kibibyte for each second of the limit is enough; less is not."""
    async with listening(MemoryStore(), Settings(io_timeout=10.0)) as server:
        reader, writer = await server.connect()
        writer.write(_head(100 * _KIB, b"application/pdf"))
        now = _now()
        for _ in range(5):
            writer.write(b"x" * 10 * _KIB)
            await asyncio.sleep(0.05)
            now += 11
            server.connections.look(now)
        assert not reader.at_eof()
        for _ in range(3):
            writer.write(b"x" * 3 * _KIB)
            await asyncio.sleep(0.05)
            now += 5
            server.connections.look(now)
        assert (await _rest(reader)).startswith(b"HTTP/1.1 408 ")
        assert server.connections.timed_out == 1
        writer.close()


async def test_a_client_that_does_not_read_its_answer_is_cut_off() -> None:
    """With what it holds of the bytes in flight; one that reads, if slowly, goes on."""
    objects = MemoryStore()
    async with listening(objects, Settings(inline_bytes=16_000_000)) as server:  # so that it is in memory
        await _store_binary(server, 8_000_000)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
            await asyncio.get_running_loop().sock_sendall(client, b"GET /fhir/Binary/b HTTP/1.1\r\n" + _HOST + b"\r\n")
            await until(lambda: server.connections.in_flight.used > 0)
            await asyncio.sleep(0.2)
            now = _now()
            for _ in range(3):  # it reads some
                for _ in range(100):
                    await asyncio.get_running_loop().sock_recv(client, 65_536)
                now += 15
                server.connections.look(now)
            assert server.connections.in_flight.used > 8_000_000
            server.connections.look(now + _LONG_AGO)
            await until(lambda: server.connections.in_flight.used == 0)


async def test_an_answer_that_takes_the_store_long_is_not_the_clients_fault() -> None:
    """While the app works no limit of the connection's applies."""
    objects = HeldStore()
    async with listening(objects) as server:
        objects.free.clear()
        reader, writer = await server.connect()
        writer.write(b"GET /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"\r\n")
        await until(lambda: objects.begun > 0)
        server.connections.look(_now())
        server.connections.look(_now() + _LONG_AGO)
        objects.free.set()
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        writer.close()


async def test_an_idle_connection_is_kept_for_longer_than_a_head_may_take() -> None:
    """And closed after that."""
    async with listening(MemoryStore(), Settings(io_timeout=1.0, keep_alive=60.0)) as server:
        reader, writer = await server.connect()
        writer.write(_GET)
        await reader.readuntil(b"}")
        server.connections.look(_now())
        server.connections.look(_now() + 50)
        writer.write(_GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"}")
        server.connections.look(_now())
        server.connections.look(_now() + 61)
        assert await _rest(reader) == b""
        assert server.connections.timed_out == 0
        writer.close()


# --- connections --------------------------------------------------------------------------------------------


async def test_idle_connections_make_room_for_new_ones_the_longest_idle_first() -> None:
    """All new clients are served; of those that were there the first goes."""
    async with listening(MemoryStore(), Settings(max_connections=4)) as server:
        old = []
        for n in range(4):
            reader, writer = await server.connect()
            writer.write(_GET)
            await reader.readuntil(b"}")
            server.connections.look(_now() + n)
            old.append((reader, writer))
        answer = await server.ask(_GET.replace(b"Host", b"Connection: close\r\nHost"))
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert await _rest(old[0][0]) == b""
        for reader, writer in old[1:]:
            writer.write(_GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        for _, writer in old:
            writer.close()


async def test_a_connection_too_many_is_told_so_at_once() -> None:
    """503 with Retry-After and an OperationOutcome, where all others are at work; then they are served as before."""
    objects = HeldStore()
    async with listening(objects, Settings(max_connections=3)) as server:
        objects.free.clear()
        busy = [await server.connect() for _ in range(3)]
        for _, writer in busy:
            writer.write(b"GET /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"\r\n")
        await until(lambda: objects.begun == 3)
        refused = await server.ask(_GET)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert server.connections.refused == 1
        assert b"retry-after: 1\r\n" in refused
        assert b'"resourceType":"OperationOutcome"' in refused
        objects.free.set()
        for reader, writer in busy:
            assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
            writer.close()
        await until(lambda: len(server.connections) == 0)
        assert (await server.ask(_GET.replace(b"Host", b"Connection: close\r\nHost"))).startswith(b"HTTP/1.1 200")


def test_there_are_never_more_connections_than_descriptors() -> None:
    """Whatever `ulimit -n` says, a quarter of it, and not less than 64, is left to the store."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        for limit in (128, 256, 1024):
            if limit <= hard:
                resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
                assert most_connections() <= limit - max(64, limit // 4)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
def test_a_hundred_idle_connections_do_not_lock_others_out_of_few_descriptors(tmp_path: Path) -> None:
    """At `ulimit -n 128`: reads and writes of others go on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{tmp_path}/data"})
    idle: list[socket.socket] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
        try:
            server.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        url = httpx.URL(server.base_url)
        idle.extend(socket.create_connection((url.host, url.port or 0)) for _ in range(150))
        with httpx.Client(base_url=server.base_url, transport=httpx.HTTPTransport(retries=5), timeout=20) as client:
            for _ in range(200):  # until those that came last count as idle
                with suppress(httpx.TransportError):
                    if client.get("/metadata").status_code == 200:
                        break
                time.sleep(0.1)
            else:
                pytest.fail("no request was ever answered")
            body = {"resourceType": "Patient", "id": "p"}
            for _ in range(20):
                assert client.put("/Patient/p", json=body).status_code in (200, 201)
                assert client.get("/Patient/p").status_code == 200
    finally:
        for one in idle:
            one.close()
        server.kill()


# --- bytes --------------------------------------------------------------------------------------------------


_MB = 1_000_000
_SMALL_SERVER = Settings(max_body=4 * _MB, max_in_flight_bytes=16 * _MB)


async def _store_binary(server: Listening, size: int) -> None:
    body = b"x" * size
    put = _head(size, b"application/pdf").replace(b"POST /fhir/Binary", b"PUT /fhir/Binary/b")
    answer = await server.ask(put.replace(b"Host", b"Connection: close\r\nHost") + body)
    assert answer.startswith(b"HTTP/1.1 201 "), answer[:300]
    assert server.connections.in_flight.used == 0


async def test_unfinished_bodies_hold_no_more_than_the_limit() -> None:
    """Of 20 bodies of 4 MB, each but its last byte, some are refused with 503; small requests go on all the while."""
    async with listening(MemoryStore(), _SMALL_SERVER) as server:
        in_flight = server.connections.in_flight
        clients = []
        highest = 0
        for _ in range(20):
            reader, writer = await server.connect()
            writer.write(_head(4 * _MB - 100, b"application/json"))  # other content is streamed
            clients.append((reader, writer))
        for _ in range(39):
            for _, writer in clients:
                writer.write(b"x" * 100_000)
            await asyncio.sleep(0.02)
            highest = max(highest, in_flight.used)
        await asyncio.sleep(0.5)
        assert 8 * _MB < highest <= in_flight.limit
        answer = await server.ask(_head(5, b"text/plain").replace(b"Host", b"Connection: close\r\nHost") + b"small")
        assert answer.startswith(b"HTTP/1.1 201 ")
        statuses = []
        for reader, writer in clients:
            try:
                async with asyncio.timeout(0.05):
                    statuses.append((await reader.read(2000)).split(b"\r\n")[0])
            except TimeoutError:
                statuses.append(b"")
            writer.close()
        assert 10 < statuses.count(b"HTTP/1.1 503 Service Unavailable") < 20
        await until(lambda: in_flight.used == 0)


async def test_a_long_body_that_has_no_room_is_refused_before_it_is_sent() -> None:
    """503 with Retry-After, an OperationOutcome, and no 100 Continue."""
    async with listening(MemoryStore(), _SMALL_SERVER) as server:
        server.connections.in_flight.used = 14 * _MB
        reader, writer = await server.connect()
        writer.write(_head(3 * _MB).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        answer = await reader.readuntil(b"}]}")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in answer
        assert b"throttled" in answer
        writer.close()
        server.connections.in_flight.used -= 14 * _MB


async def test_a_packed_body_counts_as_what_it_unpacks_to() -> None:
    """4 kB of gzip are 4 MB in memory."""
    packed = gzip.compress(b"x" * (4 * _MB - 100))
    async with listening(MemoryStore(), _SMALL_SERVER) as server:
        clients = []
        for _ in range(10):
            _, writer = await server.connect()
            head = _head(len(packed), b"application/pdf").replace(_HOST, _HOST + b"Content-Encoding: gzip\r\n")
            writer.write(head + packed[:-1])
            clients.append(writer)
            await asyncio.sleep(0.05)
            assert server.connections.in_flight.used <= 16 * _MB
        assert server.connections.in_flight.used > 8 * _MB
        for writer in clients:
            writer.close()
        await until(lambda: server.connections.in_flight.used == 0)


async def test_of_many_parallel_downloads_of_a_binary_as_many_as_fit_are_in_memory() -> None:
    """All of them get it whole, one after another; a read begins only when there is room for the longest."""
    async with listening(MemoryStore(), _SMALL_SERVER) as server:
        await _store_binary(server, 2_900_000)
        in_flight = server.connections.in_flight
        highest = 0

        async def sample() -> None:
            nonlocal highest
            while True:
                highest = max(highest, in_flight.used)
                await asyncio.sleep(0)

        sampling = asyncio.create_task(sample())
        get = b"GET /fhir/Binary/b HTTP/1.1\r\nConnection: close\r\n" + _HOST + b"\r\n"
        answers = await asyncio.gather(*[server.ask(get) for _ in range(20)])
        sampling.cancel()
        for answer in answers:
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert body == b"x" * 2_900_000
        assert 0 < highest <= in_flight.limit
        assert in_flight.used == 0


async def test_long_bodies_are_worked_on_in_turn() -> None:
    """Eight at once, of which the copies of two may be in memory: all are stored, and nothing is held in the end."""
    objects = HeldStore()
    settings = Settings(max_body=4 * _MB, max_in_flight_bytes=16 * _MB, inline_bytes=2 * _MB)
    async with listening(objects, settings) as server:
        work = server.connections.in_flight.work
        assert work is not None
        objects.free.clear()
        body = b"x" * 1_500_000
        head = b"PUT /fhir/Binary/b%d HTTP/1.1\r\nConnection: close\r\nContent-Type: text/plain\r\n" + _HOST
        requests = [head % n + b"Content-Length: %d\r\n\r\n" % len(body) + body for n in range(8)]
        answers = asyncio.gather(*[server.ask(request) for request in requests])
        await until(lambda: server.connections.in_flight.used == 8 * len(body))
        await until(lambda: objects.begun >= 2)
        assert 0 < work.used <= work.limit
        assert objects.begun < 8
        objects.free.set()
        assert [answer[:13] for answer in await answers] == [b"HTTP/1.1 201 "] * 8
        assert (work.used, server.connections.in_flight.used) == (0, 0)


async def test_unread_answers_hold_no_more_than_the_limit_and_the_next_is_refused() -> None:
    """Resources of 3 MB that nobody reads: some, then 503; once the readers are gone, it is read again."""
    async with listening(MemoryStore(), _SMALL_SERVER, send_buffer=65_536) as server:
        names = [{"text": "x" * _MB}] * 3
        await server.store.tenant("default").update({"resourceType": "Patient", "id": "p", "name": names})
        get = b"GET /fhir/Patient/p HTTP/1.1\r\n" + _HOST + b"\r\n"
        clients = []
        first = []
        for _ in range(8):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
            await asyncio.get_running_loop().sock_sendall(client, get)
            first.append((await asyncio.get_running_loop().sock_recv(client, 12)).decode())
            clients.append(client)
        assert server.connections.in_flight.used <= 16 * _MB
        assert first == ["HTTP/1.1 200"] * 5 + ["HTTP/1.1 503"] * 3
        for client in clients:
            client.close()
        await until(lambda: server.connections.in_flight.used == 0)
        assert (await server.ask(get.replace(b"Host", b"Connection: close\r\nHost"))).startswith(b"HTTP/1.1 200 ")


async def test_what_was_written_is_answered_whatever_is_in_flight() -> None:
    """The answer to a batch goes out also where it is over the limit, and counts."""
    async with listening(MemoryStore(), _SMALL_SERVER) as server:
        text = b"x" * 100_000
        resource = b'{"resourceType":"Basic","id":"b","code":{"text":"%s"}}' % text
        entry = b'{"resource":%s,"request":{"method":"PUT","url":"Basic/b"}}' % resource
        bundle = b'{"resourceType":"Bundle","type":"batch","entry":[%s]}' % entry
        server.connections.in_flight.used = 16 * _MB - 200_000
        head = _head(len(bundle)).replace(b"/fhir/Binary", b"/fhir").replace(_HOST, _HOST + b"Connection: close\r\n")
        answer = await server.ask(head.replace(b"Host", b"Prefer: return=representation\r\nHost") + bundle)
        assert answer.startswith(b"HTTP/1.1 200 ")
        await until(lambda: server.connections.in_flight.used == 16 * _MB - 200_000)


async def test_who_waits_for_room_gets_it_in_turn_and_leaves_no_hole() -> None:
    """Those who give up while they wait, or as they are let in, hold nothing."""
    whole = InFlight(10)
    first, second, third = Share(whole), Share(whole), Share(whole)
    await first.wait_and_take(8)
    waiting = asyncio.create_task(second.wait_and_take(5))
    behind = asyncio.create_task(third.wait_and_take(2))  # there would be room, but it is not its turn
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    await behind
    assert whole.used == 10
    late = asyncio.create_task(second.wait_and_take(5))
    await asyncio.sleep(0)
    first.end()
    late.cancel()  # it was let in, but has not run since
    with pytest.raises(asyncio.CancelledError):
        await late
    third.end()
    assert whole.used == 0
    with pytest.raises(Crowded):
        first.take(11)


# --- settings -----------------------------------------------------------------------------------------------


def test_the_limit_of_bytes_in_flight_holds_two_of_the_longest_bodies() -> None:
    """It grows with FHIRSTORE_MAX_BODY_BYTES by itself, and is refused where it is less."""
    assert from_environment({"FHIRSTORE_MAX_BODY_BYTES": "200000000"}).max_in_flight == 800_000_000
    with pytest.raises(BadSetting, match="FHIRSTORE_MAX_IN_FLIGHT_BYTES"):
        from_environment({"FHIRSTORE_MAX_IN_FLIGHT_BYTES": "20000000"})
