"""A Bundle from its bytes to its results, as its type says."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from fhirstore.beside import beside_if
from fhirstore.bundles.batch import run_batch
from fhirstore.bundles.entries import entries_of, parse_entries
from fhirstore.bundles.once import Once
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.perform import Interactions, Performer
from fhirstore.bundles.receipts import digest
from fhirstore.bundles.results import BundleResult
from fhirstore.bundles.transaction import Transaction
from fhirstore.engine import Engine
from fhirstore.json import JsonObject
from fhirstore.tenancy import Place

KINDS = ("batch", "transaction")


async def process(
    bundle: JsonObject,
    store: Interactions,
    *,
    engine: Engine,
    place: Place,
    options: BundleOptions | None = None,
    kinds: Sequence[str] = KINDS,
    large: bool = False,
) -> BundleResult:
    """Process `bundle`, whose type must be one of `kinds`. `large`: to walk through it takes long.

    Raises InvalidResource, ContentTooLarge; for a transaction, what any of its entries raises.
    """
    options = options or BundleOptions()
    entries = entries_of(bundle, kinds=kinds, limit=options.max_entries)
    facts = engine.validator.definitions
    large = large or engine.validator.level == "full"  # which takes long for every entry
    parsed = await beside_if(large, parse_entries, entries, base_url=options.base_url, types=facts.resources)
    perform = Performer(store, options)
    key = options.idempotency_key
    once = None if key is None else Once(engine, place, key, await beside_if(large, digest, bundle))
    if bundle["type"] == "batch":
        async with nullcontext() if once is None else once.turn():
            done = await run_batch(parsed, perform, definitions=facts, options=options, once=once)
        return BundleResult("batch", done)
    transaction = Transaction(engine, place, perform, options, once, large)
    return BundleResult("transaction", await transaction.run(parsed))
