"""A Bundle from its bytes to its results, as its type says."""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.bundles.batch import run_batch
from fhirstore.bundles.entries import entries_of, parse_entries
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.perform import Interactions, Performer
from fhirstore.bundles.results import BundleResult
from fhirstore.definitions.load import definitions
from fhirstore.errors import Unsupported
from fhirstore.json import JsonObject

KINDS = ("batch", "transaction")


async def process(
    bundle: JsonObject, store: Interactions, *, options: BundleOptions | None = None, kinds: Sequence[str] = KINDS
) -> BundleResult:
    """Process `bundle`, whose type must be one of `kinds`.

    Raises InvalidResource, ContentTooLarge; for a transaction, what any of its entries raises.
    """
    options = options or BundleOptions()
    entries = entries_of(bundle, kinds=kinds, limit=options.max_entries)
    parsed = parse_entries(entries, base_url=options.base_url)
    if bundle["type"] == "transaction":
        raise Unsupported("Transactions are not implemented")
    results = await run_batch(parsed, Performer(store, options), definitions=definitions("4.0"), options=options)
    return BundleResult("batch", results)
