"""Processes a batch: every entry like a request of its own; a failure affects no other entry.

Entries are processed concurrently, but in phases (DELETE, POST, PUT and PATCH, then reads), and entries with the same
resource or the same criteria in their order. So the result is defined also where a client sends entries that depend on
each other. "References within a Bundle.entry.resource to another Bundle.entry.resource that is being created within the
batch are considered to be non-conformant": an entry with such a reference is refused, since nothing would resolve it.
So is an entry with a reference by search, which only a transaction resolves.

https://hl7.org/fhir/R4/http.html#brules
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.idempotency import Once
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.order import phases, target
from fhirstore.bundles.references import find_links, is_search, only_in_a_transaction, path_of
from fhirstore.bundles.results import Result, failed, refuse_more
from fhirstore.bundles.workers import side_by_side
from fhirstore.errors import FhirError, FhirStoreError, InvalidResource
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch import LinkedPatch, Patch, patch_in, texts

Perform = Callable[[Entry], Awaitable[Result]]
"""Processes one entry. Raises FhirStoreError."""


async def run_batch(
    parsed: Sequence[Entry | FhirError],
    perform: Perform,
    *,
    definitions: Definitions,
    options: BundleOptions,
    once: Once | None = None,
) -> tuple[Result, ...]:
    """Returns the results of all entries, in their order. `once`: entries that its receipt has are not processed again.

    Raises IdempotencyKeyReused.
    """
    receipt = None if once is None else await once.receipt()
    results = {n: Result(None, error=wrong) for n, wrong in enumerate(parsed) if not isinstance(wrong, Entry)}
    entries = [entry for entry in parsed if isinstance(entry, Entry)]
    created = created_in(entries)
    brought = 0

    async def result(entry: Entry) -> Result:
        nonlocal brought
        try:
            _refuse_links(entry, created, definitions)
            if entry.brings:
                refuse_more(brought, options.max_read)
            if once is not None and receipt is not None and entry.writes and entry.index not in receipt.failed:
                done = await once.replayed(entry, receipt.entries[entry.index])
            else:
                done = await perform(entry)
            brought += done.brought
            return done
        except FhirStoreError as error:
            return failed(entry, error)

    async def one_after_another(line: list[Entry]) -> None:
        for number, entry in enumerate(line):
            if number:
                await asyncio.sleep(0)  # a line may have all entries of a batch
            results[entry.index] = await result(entry)

    for phase in phases(entries):
        lines: dict[Hashable, list[Entry]] = {}
        for entry in phase:
            lines.setdefault(target(entry), []).append(entry)
        await side_by_side(lines.values(), one_after_another, at_once=min(options.at_once, len(lines)))
    in_order = tuple([results[n] for n in range(len(parsed))])
    writes = any(entry.writes for entry in entries)
    if once is not None and writes and (receipt is None or receipt.failed):
        await once.note(in_order)
    return in_order


def created_in(parsed: Iterable[Entry | FhirError]) -> frozenset[str]:
    """The urns of entries that create: what others in a batch cannot refer to."""
    return frozenset(
        entry.full_url
        for entry in parsed
        if isinstance(entry, Entry)
        and entry.interaction == "create"
        and entry.full_url
        and entry.full_url.startswith("urn:")
    )


def patch_of(entry: Entry, created: frozenset[str], definitions: Definitions) -> Patch:
    """Returns the patch in an entry. When applied, it raises InvalidResource for a link it adds that only a transaction
    could resolve.

    Raises MalformedContent.
    """
    patch = patch_in(entry.resource or {})
    brought = texts(patch)
    if not any(is_search(text) or text.partition("#")[0] in created for text in brought):
        return patch

    def settle(patched: JsonObject) -> None:
        for link in find_links(patched, full_urls=created, base="", definitions=definitions):
            if link.text in brought and not link.narrative:
                path = f"{patched.get('resourceType')}.{path_of(patched, link)}"
                raise only_in_a_transaction(path) if link.search else _refers(path)

    return LinkedPatch(patch, settle)


def _refuse_links(entry: Entry, created: frozenset[str], definitions: Definitions) -> None:
    if entry.resource is None or entry.interaction not in ("create", "update") or not created:
        return  # the links of a patch are known when it is applied: see `patch_of`
    for link in find_links(entry.resource, full_urls=created, base="", definitions=definitions):
        if not link.search and not link.narrative:
            raise _refers(f"{entry.place}.resource")


def _refers(path: str) -> InvalidResource:
    return InvalidResource(
        "Entries of a batch cannot refer to each other by fullUrl; send a transaction",
        code="not-supported",
        expression=(path,),
    )
