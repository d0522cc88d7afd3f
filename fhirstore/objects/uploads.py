"""Multipart uploads as every store has them: an object sent in numbered parts, by several callers if need be.

The limits are those of S3, on every store: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from fhirstore.errors import RequestRefused

SMALLEST_PART = 5 * 1024 * 1024
LARGEST_PART = 5 * 1024 * 1024 * 1024
"""Bytes of a part; the last of an object may be smaller."""

MOST_PARTS = 10_000

_PAGE = 1000


class PendingUpload(msgspec.Struct, frozen=True):
    """An upload that was neither completed nor aborted. `started`: epoch ms."""

    key: str
    upload: str
    started: int


class UploadPage(msgspec.Struct, frozen=True):
    """Some pending uploads, in the store's own order. `cursor` continues the listing; None on the last page."""

    uploads: tuple[PendingUpload, ...]
    cursor: str | None


def check_parts(key: str, part_size: int, concurrency: int) -> None:
    """Raises RequestRefused for a stream in parts that S3 would not accept, or none at once."""
    if not SMALLEST_PART <= part_size <= LARGEST_PART:
        raise RequestRefused(key, f"part_size is {part_size:,} bytes; use 5 MiB to 5 GiB")
    if concurrency < 1:
        raise RequestRefused(key, "concurrency is below 1")


def check_part(key: str, number: int, size: int) -> None:
    """Raises RequestRefused for a part whose number or size no store accepts."""
    if not 1 <= number <= MOST_PARTS:
        raise RequestRefused(key, f"part number {number}; use 1 to {MOST_PARTS:,}")
    if size > LARGEST_PART:
        raise RequestRefused(key, f"part {number} has more than 5 GiB")


def check_completion(key: str, parts: Sequence[tuple[int, str]]) -> None:
    """Raises RequestRefused where these numbers and ETags of parts make no object."""
    if not parts:
        raise RequestRefused(key, "an upload without parts; abort it, and put an empty object")
    numbers = [number for number, _ in parts]
    if any(low >= high for low, high in pairwise(numbers)):
        raise RequestRefused(key, "the part numbers do not ascend")
    check_part(key, numbers[0], 0)
    check_part(key, numbers[-1], 0)


def check_sizes(key: str, sizes: Sequence[tuple[int, int]]) -> None:
    """Raises RequestRefused for a part, of these numbers and sizes, that is too small and not the last."""
    for number, size in sizes[:-1]:
        if size < SMALLEST_PART:
            raise RequestRefused(key, f"part {number} has {size:,} bytes; all but the last must have 5 MiB")


def page_of(pending: Iterable[PendingUpload], prefix: str, cursor: str | None) -> UploadPage:
    """Returns a page of all these uploads, in the order of their ids, which are ULIDs; so is the cursor."""
    found = sorted(
        (one for one in pending if one.key.startswith(prefix) and one.upload > (cursor or "")),
        key=lambda one: one.upload,
    )
    page = tuple(found[:_PAGE])
    return UploadPage(page, page[-1].upload if len(found) > _PAGE else None)
