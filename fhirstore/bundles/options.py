"""What a caller may say about a Bundle that is to be processed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fhirstore.bundles.entries import MAX_ENTRIES, Entry

MAX_REQUESTS = 25_000

Answer: TypeAlias = Callable[[Entry, object], Awaitable[bytes]]
"""The Bundle that a search or a history is answered with, as JSON; a read with parameters; what an operation gives.
Empty: the client has it already. Asked of a tenant's store (`fhirstore.TenantStore`) that counts what the reads of the
Bundle take together. Raises FhirError."""


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """How to read and process a Bundle.

    `base_url`: ours, without a slash at the end: what is below it in an entry's url is relative to it. `answer`: who
    answers searches, histories and operations among the entries; without it they are refused. `idempotency_key`: a
    Bundle that is sent again with it does nothing again. `max_entries`: more are refused. `at_once`: entries of a batch
    under way together. `max_read`: bytes that a Bundle's reads, patches and matches may bring together. `max_requests`:
    storage requests that its reads, and the look-ups of a transaction, may take. `skip_unchanged`: as of an update.
    `delete_several`: an entry of a batch that deletes by criteria deletes all that meets them.
    """

    base_url: str | None = None
    answer: Answer | None = None
    idempotency_key: str | None = None
    max_entries: int = MAX_ENTRIES
    at_once: int = 16
    max_read: int = 64 * 1024 * 1024
    max_requests: int = MAX_REQUESTS
    skip_unchanged: bool = False
    delete_several: bool = False
