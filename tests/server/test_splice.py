"""A content that lies outside of a resource comes back into it while the answer is sent."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator

import pytest

from server.content.splice import around, in_base64

MARKER = {
    "url": "urn:fhirstore:StructureDefinition/payload",
    "extension": [{"url": "size", "valueDecimal": 5}, {"url": "sha256", "valueString": "00"}],
}


async def cut(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 196_608, 196_609, 1_000_000])
async def test_base64_of_pieces_is_that_of_the_whole(size: int) -> None:
    """However the content is cut, the text is the same, and only its end has padding."""
    for length in (0, 1, 2, 3, 5, 1000) if size < 1000 else (400_000, 400_001, 400_002):
        data = bytes(range(251)) * (length // 251 + 1)
        pieces = [piece async for piece in in_base64(cut(data[:length], size))]
        assert b"".join(pieces) == base64.b64encode(data[:length])


async def test_the_rest_of_the_resource_stays_as_it_was_written() -> None:
    """Numbers keep their digits, members their order; only the marker goes, from wherever it is."""
    other = '{"url":"http://x","valueDecimal":1.50}'
    content = (
        '{"resourceType":"Binary","id":"b","contentType":"a/b","_data":{"id":"d","extension":['
        f'{other},{json.dumps(MARKER)}]}},"x":1.0}}'
    ).encode()
    whole = around(content, bytes)
    text = b"".join([piece async for piece in whole.filled(cut(b"hello", 2))])
    rest = f'"data":"aGVsbG8=","_data":{{"id":"d","extension":[{other}]}},"x":1.0}}'
    expected = f'{{"resourceType":"Binary","id":"b","contentType":"a/b",{rest}'
    assert text.decode() == expected
    assert whole.length(5) == len(text)


async def test_a_marker_alone_leaves_nothing() -> None:
    """`_data` goes where nothing else is in it."""
    content = json.dumps({"resourceType": "Binary", "_data": {"extension": [MARKER]}}).encode()
    text = b"".join([piece async for piece in around(content, bytes).filled(cut(b"", 1))])
    assert json.loads(text) == {"resourceType": "Binary", "data": ""}
