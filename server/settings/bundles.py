"""Settings: the bounds of batches and transactions."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Bundles:
    """The bounds of batches and transactions."""

    max_bundle_entries: int = setting(
        "FHIRSTORE_MAX_BUNDLE_ENTRIES", values.positive, 5_000, "The most entries of one batch or transaction."
    )
    max_bundle_requests: int = setting(
        "FHIRSTORE_MAX_BUNDLE_REQUESTS",
        values.positive,
        25_000,
        "The most storage requests (GET, LIST) that the reads of one batch or transaction, and the conditions of a "
        "transaction, may take; then 413.",
    )
