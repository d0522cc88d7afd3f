"""What direct uploads cost in requests to the store, as `fhirstore.transfers.transfers` states it."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest

from fhirstore import FhirStore, TicketRefused, UploadRequest
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.transfers.transfers import Uploads

CONTENT = bytes(6_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PART = 5 * 1024 * 1024

BINARY = {"GET": 3, "PUT": 5}
"""Of a new Binary with a payload, and of its version for the answer."""

COMPLETE_PARTS = {
    "GET": 5 + 1 + BINARY["GET"],  # the record; the content
    "PUT": 3 + 2 + BINARY["PUT"],  # the record; the entry of the content
    "HEAD": 3,
    "LIST": 3,
    "POST": 1,
    "DELETE": 1,
}
COMPLETE_RECEIVED = {"GET": 4 + BINARY["GET"], "PUT": 2 + BINARY["PUT"]}


def uploads_on(meter: MeteredStore) -> Uploads:
    return FhirStore(PrefixTenancy(meter, frozenset({"a"}))).tenant("a").uploads


async def test_an_upload_in_parts() -> None:
    """Begin, each part, status and completion have the requests that are stated, and a repeated completion few."""
    meter = MeteredStore(MemoryStore())
    uploads = uploads_on(meter)
    asked = UploadRequest(content_type="text/plain", method="parts", size=len(CONTENT), sha256=SHA256, part_size=PART)
    with meter.measure() as begin:
        begun = await uploads.begin(asked, largest=1 << 30)
    assert begin.requests == {"POST": 1, "PUT": 1}
    id_ = begun.upload.id
    for start in (0, PART):
        end = min(start + PART, len(CONTENT))
        with meter.measure() as part:
            upload, number = await uploads.open_part(id_, start, end, None)
            await uploads.put_part(upload, number, CONTENT[start:end])
        assert part.requests == {"GET": 1, "PUT": 2}
    with meter.measure() as status:
        await uploads.status(id_)
    assert status.requests == {"GET": 1, "LIST": 1}
    with meter.measure() as complete:
        await uploads.complete(id_)
    assert complete.requests == COMPLETE_PARTS
    with meter.measure() as again:
        await uploads.complete(id_)
    assert again.requests == {"GET": 3}


async def test_an_upload_with_a_ticket() -> None:
    """The content is hashed on its way, so the completion reads none of it."""
    meter = MeteredStore(MemoryStore())
    uploads = uploads_on(meter)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"content"

    with meter.measure() as first:
        await uploads.begin(UploadRequest(content_type="text/plain", size=7), largest=100)
    with meter.measure() as begin:
        begun = await uploads.begin(UploadRequest(content_type="text/plain", size=7), largest=100)
    assert (first.requests, begin.requests) == ({"PUT": 2, "GET": 1}, {"PUT": 1})
    assert isinstance(begun.how, dict)
    with meter.measure() as forged, pytest.raises(TicketRefused):
        await uploads.admitted(begun.upload.id, {**begun.how, "signature": "0" * 64})
    assert forged.requests == {}
    with meter.measure() as receive:
        await uploads.receive(await uploads.admitted(begun.upload.id, begun.how), pieces())
    assert receive.requests == {"GET": 2, "PUT": 4}
    with meter.measure() as complete:
        done = await uploads.complete(begun.upload.id)
    assert done.version is not None
    assert complete.requests == COMPLETE_RECEIVED
