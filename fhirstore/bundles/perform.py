"""One entry of a batch, done as the interaction it asks for.

https://hl7.org/fhir/R4/http.html#brules: "each entry is treated as if an individual interaction or operation".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.preconditions import if_match, if_none_match
from fhirstore.bundles.reads import Readable, is_performed_here, perform_read
from fhirstore.bundles.results import Result, refuse_more_requests
from fhirstore.errors import Unsupported
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.validation.references import refuse_references_by_search
from fhirstore.interactions.preconditions import IfMatch, VersionIds
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.wrappers.read_counter import ReadCounter
from fhirstore.threads import offload
from fhirstore.version import Version

_LARGE_AT_ONCE = 8  # searches and the like, each with many requests under way, which the event loop serves in turn


class Interactions(Readable, Protocol):
    """What entries need of a tenant's store; `fhirstore.TenantStore` is one."""

    async def create(
        self,
        resource: bytes,
        *,
        type: str | None = None,
        idempotency_key: str | None = None,
        if_none_exist: str | None = None,
    ) -> Version: ...

    async def update(
        self,
        resource: bytes,
        *,
        type: str | None = None,
        id: str | None = None,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version: ...

    async def delete(
        self, type: str, id: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> Version | None: ...

    async def conditional_update(
        self,
        resource: bytes,
        criteria: str,
        *,
        type: str | None = None,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version: ...

    async def conditional_delete(
        self, type: str, criteria: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> Version | None: ...

    async def delete_matching(
        self, type: str, criteria: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> tuple[Version, ...]: ...

    async def patch(
        self,
        type: str,
        id: str,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version: ...

    async def conditional_patch(
        self,
        type: str,
        criteria: str,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version: ...


class Performer:
    """Does single entries on `store`; reads on what `reading` makes of `objects` that count what they take together.

    Where the batch has an Idempotency-Key, each of its creates has a key of its own, made of that one and the entry's
    place: so it creates nothing again even where its receipt is missing (see `idempotency`).
    """

    def __init__(
        self,
        store: Interactions,
        options: BundleOptions,
        *,
        definitions: Definitions,
        patch: Callable[[Entry], Patch],
        objects: ObjectStore,
        reading: Callable[[ObjectStore], Interactions],
    ) -> None:
        """`patch`: what a PATCH entry carries."""
        self._store = store
        self._objects = objects
        self._reading = reading
        self._counted: tuple[ReadCounter, Interactions] | None = None
        self._most = options.max_requests
        self._gate = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._definitions = definitions
        self._patch = patch
        self._operation = options.operation
        self._admit = options.admit
        self._lenient = options.lenient
        self._key = options.idempotency_key
        self._skip = options.skip_unchanged
        self._delete_several = options.delete_several

    def read_anew(self) -> None:
        """Count from nothing what is read from here on: a transaction tries its reads before it does them."""
        self._counted = None

    def _reads(self) -> Interactions:
        """The store for one more read. Raises ContentTooLarge where those before it took too many requests.

        Those under way are not cut off: each is bounded by itself.
        """
        if self._counted is None:
            objects = ReadCounter(self._objects)
            self._counted = objects, self._reading(objects)
        objects, store = self._counted
        refuse_more_requests(objects.reads, self._most)
        return store

    async def __call__(self, entry: Entry) -> Result:
        """Raises FhirStoreError."""
        if not entry.writes:
            return await self._read(entry)
        assert entry.type is not None  # noqa: S101 - an entry that writes names a type
        if entry.interaction == "create":
            return await self._create(entry, entry.type)
        if entry.id is not None:
            return Result(entry, await self._write(entry, entry.type, entry.id))
        if entry.interaction == "delete" and self._delete_several:
            return await self._delete_matching(entry, entry.type, entry.criteria or "")
        return Result(entry, await self._write_what_matches(entry, entry.type, entry.criteria or ""))

    async def _read(self, entry: Entry) -> Result:
        if entry.interaction in ("read", "vread"):
            return await self._performed(entry)
        async with self._gate:
            if is_performed_here(entry):
                return await self._performed(entry)
            if self._operation is None:
                raise Unsupported("This operation cannot be an entry here", expression=entry.at("url"))
            self._reads()
            content = await self._operation(entry)
            return Result(entry, content=content or None, not_modified=not content)

    async def _performed(self, entry: Entry) -> Result:
        if self._admit is not None:
            self._admit(entry)
        return await perform_read(entry, self._reads(), definitions=self._definitions, lenient=self._lenient)

    async def _create(self, entry: Entry, type_: str) -> Result:
        if entry.if_none_exist is not None:
            body = self._body(entry)
            return Result(entry, await self._store.create(body, type=type_, if_none_exist=entry.if_none_exist))
        key = None if self._key is None else f"{self._key}#{entry.index}"
        return Result(entry, await self._store.create(self._body(entry), type=type_, idempotency_key=key))

    async def _write(self, entry: Entry, type_: str, id_: str) -> Version | None:
        store, skip, expected, excluded = self._store, self._skip, if_match(entry), if_none_match(entry)
        if entry.interaction == "delete":
            return await store.delete(type_, id_, if_match=expected, if_none_match=excluded)
        if entry.interaction == "patch":
            patch = await offload(self._patch, entry)
            return await store.patch(type_, id_, patch, if_match=expected, if_none_match=excluded, skip_unchanged=skip)
        return await store.update(
            self._body(entry), type=type_, id=id_, if_match=expected, if_none_match=excluded, skip_unchanged=skip
        )

    async def _delete_matching(self, entry: Entry, type_: str, criteria: str) -> Result:
        expected, excluded = if_match(entry), if_none_match(entry)
        gone = await self._store.delete_matching(type_, criteria, if_match=expected, if_none_match=excluded)
        return Result(entry, gone[0]) if len(gone) == 1 else Result(entry, deleted=len(gone))

    async def _write_what_matches(self, entry: Entry, type_: str, criteria: str) -> Version | None:
        store, skip, expected, excluded = self._store, self._skip, if_match(entry), if_none_match(entry)
        if entry.interaction == "delete":
            return await store.conditional_delete(type_, criteria, if_match=expected, if_none_match=excluded)
        if entry.interaction == "patch":
            patch = await offload(self._patch, entry)
            return await store.conditional_patch(
                type_, criteria, patch, if_match=expected, if_none_match=excluded, skip_unchanged=skip
            )
        return await store.conditional_update(
            self._body(entry), criteria, type=type_, if_match=expected, if_none_match=excluded, skip_unchanged=skip
        )

    def _body(self, entry: Entry) -> bytes:
        """The entry's resource as a body of its own. Raises InvalidResource where it has a reference by search."""
        assert entry.resource is not None  # noqa: S101 - entries that need one have one
        body = entry.body
        if b"?" in body:
            refuse_references_by_search(self._definitions, entry.resource)
        return body
