"""What a caller may say about a Bundle that is to be processed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.bundles.entries import MAX_ENTRIES, Entry

MAX_REQUESTS = 25_000

Operation: TypeAlias = Callable[[Entry], Awaitable[bytes]]
"""Performs an entry that is not an interaction of the library: `metadata`, or an operation other than `$validate`.

Returns the resource that answers it, as JSON; nothing where the client has it already. Raises FhirError."""


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """How to read and process a Bundle.

    `base_url`: ours, without a slash at the end: what is below it in an entry's url is relative to it. `operation`:
    performs the entries that the library does not; without it they are Unsupported. `admit`: called before an entry
    that reads is performed; raises FhirError to refuse it. `lenient`: reads ignore parameters that they do not know.
    `idempotency_key`: a Bundle that is sent again with it does nothing again. `max_entries`: more are refused.
    `at_once`: entries of a batch under way together. `max_read`: bytes that a Bundle's reads, patches and matches may
    bring together. `max_requests`: storage requests that its reads, and the look-ups of a transaction, may take.
    `skip_unchanged`: as of an update. `delete_several`: an entry of a batch that deletes by criteria deletes all that
    meets them.
    """

    base_url: str | None = None
    operation: Operation | None = None
    admit: Callable[[Entry], None] | None = None
    lenient: bool = False
    idempotency_key: str | None = None
    max_entries: int = MAX_ENTRIES
    at_once: int = 16
    max_read: int = 64 * 1024 * 1024
    max_requests: int = MAX_REQUESTS
    skip_unchanged: bool = False
    delete_several: bool = False
