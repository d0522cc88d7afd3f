"""A Bundle from its bytes to its results, as its type says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

from fhirstore.access.sight import Sight
from fhirstore.bundles.batch import created_in, patch_of, run_batch
from fhirstore.bundles.entries import Entry, entries_of, parse_entries
from fhirstore.bundles.envelope import check_bundle, checked, fully_checked
from fhirstore.bundles.idempotency import Once
from fhirstore.bundles.lookup import Condition
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.perform import Interactions, Performer
from fhirstore.bundles.receipts import digest
from fhirstore.bundles.restriction import Restriction
from fhirstore.bundles.results import BundleResult
from fhirstore.bundles.transaction import Transaction
from fhirstore.engine import Engine
from fhirstore.errors import FhirError
from fhirstore.fhir.json import JsonObject
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.retries import retry_budget
from fhirstore.tenancy import Place
from fhirstore.threads import offload_if

KINDS = ("batch", "transaction")
_FEW = 32  # entries that are read in no time


async def process(
    bundle: JsonObject,
    store: Interactions,
    *,
    engine: Engine,
    place: Place,
    reading: Callable[[ObjectStore], Interactions],
    condition: Condition,
    options: BundleOptions | None = None,
    kinds: Sequence[str] = KINDS,
    large: bool = False,
    sight: Sight | None = None,
) -> BundleResult:
    """Process `bundle`, whose type must be one of `kinds`. `reading`: the same store on other objects.
    `condition`: reads criteria.

    `large`: to walk through it takes long. `sight`: what `store` is restricted to.

    Raises InvalidResource, ContentTooLarge; for a transaction, what any of its entries raises.
    """
    options = options or BundleOptions()
    entries = entries_of(bundle, kinds=kinds, limit=options.max_entries)
    facts = engine.validator.definitions
    if (budget := retry_budget()) is not None:
        budget.grant(len(entries))
    large = large or len(entries) > _FEW or engine.validator.level == "full"  # which takes long for every entry
    parsed = await offload_if(large, _read, bundle, entries, engine, options)
    created = created_in(parsed)
    perform = Performer(
        store,
        options,
        definitions=facts,
        patch=lambda entry: patch_of(entry, created, facts),
        objects=place.objects,
        reading=reading,
    )
    key = options.idempotency_key
    if key is not None and sight is not None:
        key = sight.owned(key)
    once = None if key is None else Once(engine, place, key, await offload_if(large, digest, bundle))
    if bundle["type"] == "batch":
        async with nullcontext() if once is None else once.turn():
            done = await run_batch(parsed, perform, definitions=facts, options=options, once=once)
        return BundleResult("batch", done)
    transaction = Transaction(engine, place, perform, options, condition, once, large, restriction=Restriction(sight))
    return BundleResult("transaction", await transaction.run(parsed))


def _read(
    bundle: JsonObject, entries: Sequence[object], engine: Engine, options: BundleOptions
) -> list[Entry | FhirError]:
    """Each entry as a request, or what is wrong with it. Raises what is wrong with the Bundle itself."""
    validator = engine.validator
    check_bundle(bundle, validator)
    parsed = parse_entries(entries, base_url=options.base_url, types=validator.definitions.resources)
    parsed = checked(parsed, entries, validator)
    return fully_checked(parsed, bundle, entries, validator) if validator.level == "full" else parsed
