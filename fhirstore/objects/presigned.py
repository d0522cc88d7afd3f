"""Presigned requests: what a client without credentials sends to the store itself, until a given time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.errors import RequestRefused, StoreCannot

LONGEST = 7 * 24 * 3600
"""Seconds that a signature can be valid: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html."""

_NO_URLS = "this kind of store has no URLs; let the server pass the object on"
_LARGEST_FORM = 5 * 1024 * 1024 * 1024  # bytes of an object that one request can write


class PresignedPut(msgspec.Struct, frozen=True):
    """Send PUT to `url` with exactly these `headers`; the body is the object. HTTP clients add Content-Length."""

    url: str
    headers: Mapping[str, str]


class PresignedPost(msgspec.Struct, frozen=True):
    """Send a form (multipart/form-data) to `url`: all `fields` in this order, then the content as the field `file`."""

    url: str
    fields: Mapping[str, str]


def check_expiry(key: str, expires_in: int) -> None:
    """Raises RequestRefused for a time, in seconds, that no signature can have."""
    if not 1 <= expires_in <= LONGEST:
        raise RequestRefused(key, f"expires_in is {expires_in} seconds; use 1 to {LONGEST} (7 days)")


def check_form(key: str, min_size: int, max_size: int) -> None:
    """Raises RequestRefused for bounds, in bytes, that no form can keep."""
    if not 0 <= min_size <= max_size <= _LARGEST_FORM:
        raise RequestRefused(key, "sizes must be 0 <= min_size <= max_size <= 5 GiB")


class WithoutUrls:
    """The operations of a store that has no URLs of its own."""

    async def presign_get(
        self, key: str, *, expires_in: int, filename: str | None = None, content_type: str | None = None
    ) -> str:
        raise StoreCannot(key, _NO_URLS)

    async def presign_put(
        self,
        key: str,
        *,
        expires_in: int,
        content_type: str | None = None,
        sha256: str | None = None,
        size: int | None = None,
        if_absent: bool = False,
    ) -> PresignedPut:
        raise StoreCannot(key, _NO_URLS)

    async def presign_post(
        self, key: str, *, expires_in: int, max_size: int, min_size: int = 0, content_type: str | None = None
    ) -> PresignedPost:
        raise StoreCannot(key, _NO_URLS)
