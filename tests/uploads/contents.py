"""Contents for the tests of payloads, and what lies in the store of them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator

from fhirstore import Payload, TenantStore
from fhirstore.objects import ObjectStore, list_all

BINARY = {"resourceType": "Binary", "contentType": "application/pdf"}
LARGE = bytes(range(256)) * 40_000  # 10 MB: two parts, the last one short
LONG = b"long enough to be moved out " * 50


async def pieces(content: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    """The content in chunks."""
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def content_of(clinic: TenantStore, payload: Payload, start: int = 0, end: int | None = None) -> bytes:
    """The bytes that a reader gets."""
    async with clinic.payloads.open(payload, start, end) as stream:
        return b"".join([chunk async for chunk in stream])


async def keys_below(objects: ObjectStore, prefix: str) -> list[str]:
    """The keys below `prefix` of the tenant `clinic`, without that prefix."""
    return [item.key.removeprefix(f"clinic/{prefix}") async for item in list_all(objects, f"clinic/{prefix}")]


def sha256(content: bytes) -> str:
    """Its hash."""
    return hashlib.sha256(content).hexdigest()


def with_data(content: bytes, **members: object) -> dict[str, object]:
    """A Binary with its content in it."""
    return {**BINARY, **members, "data": base64.b64encode(content).decode()}
