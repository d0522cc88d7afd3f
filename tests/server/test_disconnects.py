"""Work ends with its client: reads stop when it goes away, writes that have begun are seen through."""

from __future__ import annotations

import asyncio

import pytest

from tests.server.listening import HeldStore, Listening, listening, until

_HOST = b"Host: localhost\r\n"
_GET = b"GET %s HTTP/1.1\r\n" + _HOST + b"\r\n"


def _write(method: bytes, path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = (b"Host: localhost", b"Content-Type: application/fhir+json", b"Content-Length: %d" % len(body), *headers)
    return b"%s %s HTTP/1.1\r\n%s\r\n\r\n%s" % (method, path, b"\r\n".join(lines), body)


def _patient(id_: str, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": id_, **more}


async def _begin_and_leave(server: Listening, objects: HeldStore, request: bytes) -> None:
    """Send it, wait until it has come to the store, and close the connection."""
    before = objects.begun
    _, writer = await server.connect()
    writer.write(request)
    await until(lambda: objects.begun > before)
    writer.close()


@pytest.mark.parametrize(
    "request_",
    [
        _GET % b"/fhir/Patient/p",
        _GET % b"/fhir/Patient/p/_history/1",
        _GET % b"/fhir/Patient/p/_history",
        _GET % b"/fhir/Patient?_id=p",
        _GET % b"/fhir/Patient?identifier=urn:s%7C1",
        _GET % b"/fhir/_history",
        _write(
            b"POST",
            b"/fhir",
            b'{"resourceType":"Bundle","type":"batch","entry":[%s]}'
            % b",".join(b'{"request":{"method":"GET","url":"Patient/p%d"}}' % n for n in range(50)),
        ),
    ],
    ids=["read", "vread", "history of one", "search by id", "search by identifier", "history of all", "batch of reads"],
)
async def test_a_read_is_given_up_when_its_client_goes_away(request_: bytes) -> None:
    """What it has asked of the store is cancelled, and nothing more is asked."""
    objects = HeldStore()
    async with listening(objects) as server:
        patient = _patient("p", identifier=[{"system": "urn:s", "value": "1"}])
        await server.store.tenant("default").update(patient)
        objects.free.clear()
        before = objects.begun
        await _begin_and_leave(server, objects, request_)
        await until(lambda: objects.cancelled > 0)
        begun = objects.begun
        objects.free.set()
        await asyncio.sleep(0.1)
        assert objects.begun == begun
        assert objects.cancelled == begun - before


_CONDITIONAL = _write(
    b"POST",
    b"/fhir/Patient",
    b'{"resourceType":"Patient","identifier":[{"system":"urn:s","value":"7"}]}',
    b"If-None-Exist: identifier=urn:s|7",
)
_TRANSACTION = (
    b'{"resourceType":"Bundle","type":"transaction","entry":['
    b'{"resource":{"resourceType":"Patient","id":"t1"},"request":{"method":"PUT","url":"Patient/t1"}},'
    b'{"resource":{"resourceType":"Patient","id":"t2"},"request":{"method":"PUT","url":"Patient/t2"}}]}'
)


@pytest.mark.parametrize(
    ("request_", "becomes"),
    [
        (_write(b"PUT", b"/fhir/Patient/t1", b'{"resourceType":"Patient","id":"t1"}'), {"t1"}),
        (
            _write(
                b"PUT",
                b"/fhir/Patient?identifier=urn:s%7C7",
                b'{"resourceType":"Patient","id":"t1","identifier":[{"system":"urn:s","value":"7"}]}',
            ),
            {"t1"},
        ),
        (_write(b"POST", b"/fhir", _TRANSACTION), {"t1", "t2"}),
        (_write(b"POST", b"/fhir", _TRANSACTION.replace(b"transaction", b"batch")), {"t1", "t2"}),
    ],
    ids=["update", "conditional update", "transaction", "batch"],
)
async def test_a_write_that_has_begun_is_seen_through_without_its_client(request_: bytes, becomes: set[str]) -> None:
    """All of it is there in the end, in no other state, and the next writer has no trouble."""
    objects = HeldStore(writes_only=True)
    async with listening(objects) as server:
        objects.free.clear()
        await _begin_and_leave(server, objects, request_)
        await asyncio.sleep(0.1)
        objects.free.set()
        await server.store.settle()
        tenant = server.store.tenant("default")
        for id_ in becomes:
            version = await tenant.read("Patient", id_)
            assert version.version_id == 1
            assert (await tenant.update(_patient(id_))).version_id == 2


_ENTRY = b'{"resource":{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}}'
_BUNDLE = b'{"resourceType":"Bundle","type":"%s","entry":[' + b",".join([_ENTRY] * 3) + b"]}"
_KEY = b"Idempotency-Key: k"


@pytest.mark.parametrize("step", range(1, 16))
@pytest.mark.parametrize(
    ("request_", "made"),
    [
        (_write(b"POST", b"/fhir/Patient", b'{"resourceType":"Patient"}', _KEY), 1),
        (_write(b"POST", b"/fhir", _BUNDLE % b"batch", _KEY), 3),
        (_write(b"POST", b"/fhir", _BUNDLE % b"transaction", _KEY), 3),
        (_CONDITIONAL, 1),
    ],
    ids=["create", "batch", "transaction", "conditional create"],
)
async def test_a_create_that_lost_its_client_at_any_step_creates_nothing_twice(
    request_: bytes, made: int, step: int
) -> None:
    """Sent again, under its Idempotency-Key or with its condition, it is answered, and what was made was made once."""
    objects = HeldStore()
    async with listening(objects) as server:
        objects.held_at = step
        reader, writer = await server.connect()
        writer.write(request_)
        answered = asyncio.create_task(reader.read(1))
        await until(lambda: objects.begun >= step or answered.done())
        writer.close()
        await answered
        await asyncio.sleep(0.02)
        objects.held_at = None
        objects.free.set()
        await server.store.settle()
        again = await server.ask(request_.replace(b"Host:", b"Connection: close\r\nHost:", 1))
        assert again.startswith(b"HTTP/1.1 20"), again
        versions = [version async for version in server.store.tenant("default").history("Patient")]
        assert [version.version_id for version in versions] == [1] * made
