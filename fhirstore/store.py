"""The library's face: `FhirStore` opens a location, its tenants run interactions in it. Wiring only.

async with FhirStore.open("s3://bucket/prefix") as store:      # or "file:./data", "memory:"
    clinic = store.tenant("default")
    patient = await clinic.create({"resourceType": "Patient", "active": True})
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from types import TracebackType
from typing import NoReturn

import msgspec
from msgspec.structs import replace

from fhirstore.audit.trail import AuditTrail
from fhirstore.audit.writer import AuditOptions, AuditWriter, Held
from fhirstore.clock import Clock, Ids, SystemClock
from fhirstore.commit.limits import Context, Limits
from fhirstore.engine import Engine
from fhirstore.errors import StoreMisconfigured, UnknownTenant, Unsupported
from fhirstore.export.job import ExportJob
from fhirstore.export.request import ExportOptions
from fhirstore.fhir import forms, models
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.search_parameters.compartments import Compartments
from fhirstore.fhir.validation import Validator
from fhirstore.format.keyspace import WITHOUT_TENANT, Keyspace
from fhirstore.indexing.indexes import Indexes
from fhirstore.indexing.options import IndexOptions, index_options
from fhirstore.indexing.status import IndexStatus
from fhirstore.interactions.admission import as_bytes
from fhirstore.jobs.kind import JobKind
from fhirstore.jobs.limits import JobLimits
from fhirstore.jobs.pace import Activity
from fhirstore.jobs.worker import Ran, Worker
from fhirstore.objects import S3Options
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.observer import StoreObserver
from fhirstore.objects.opening import open_store
from fhirstore.objects.wrappers.observed import ObservedStore
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.work import SubmitJob
from fhirstore.tags import Tags
from fhirstore.tenancy import (
    BucketTenancy,
    PrefixTenancy,
    RegisteredTenancy,
    RegisteredTenants,
    Tenancy,
    bucket_locations,
    is_served,
)
from fhirstore.tenant import TenantStore
from fhirstore.upkeep.copy.lease import unfinished_copies
from fhirstore.upkeep.copy.run import CopyOptions, CopyReport, copy_tenant
from fhirstore.upkeep.copy.tally import CopyProgress, Tally
from fhirstore.upkeep.copy.verify import Verified, verify
from fhirstore.upkeep.tenants import Tenants, copy_registration

_GRACE = 10.0  # seconds that writes without a caller have when the store is closed
_HOW_TO_OPEN = "FhirStore.open(…) opens the store in a block: async with FhirStore.open(…) as store: …"


class FhirStore:
    """All tenants of one deployment. Made by `open`, or from a `Tenancy` of the caller's own object stores."""

    def __init__(
        self,
        tenancy: Tenancy,
        *,
        limits: Limits | None = None,
        inline_bytes: int | None = None,
        ids: Ids | None = None,
        fhir_version: str = "4.0",
        validation: str = "structure",
        reference_integrity: bool = False,
        externalize_attachments: bool = False,
        job_limits: JobLimits | None = None,
        submit_options: SubmitOptions | None = None,
        export_options: ExportOptions | None = None,
        tags: Tags | None = None,
        index: IndexOptions | None = None,
    ) -> None:
        """`index`: where the search indexes lie; None: in a temporary folder. Other arguments: as of `open`."""
        self.tenancy = tenancy
        self._submit_options = submit_options or SubmitOptions()
        self._export_options = export_options or ExportOptions()
        validator = Validator(definitions(fhir_version), validation)
        self._compartments = Compartments(validator.definitions)
        self._engine = Engine(
            limits=_with_inline_bytes(limits, inline_bytes),
            ids=ids,
            validator=validator,
            reference_integrity=reference_integrity,
            externalize_attachments=externalize_attachments,
            job_limits=job_limits,
            tags=tags,
            indexes=Indexes(index or IndexOptions(), validator.definitions, is_served=partial(is_served, tenancy)),
        )

    @classmethod
    def open(
        cls,
        location: str,
        *,
        tenants: Iterable[str] | None = ("default",),
        buckets: Mapping[str, str] | None = None,
        s3: S3Options | None = None,
        limits: Limits | None = None,
        inline_bytes: int | None = None,
        fhir_version: str = "4.0",
        validation: str = "structure",
        reference_integrity: bool = False,
        externalize_attachments: bool = False,
        job_limits: JobLimits | None = None,
        submit_options: SubmitOptions | None = None,
        export_options: ExportOptions | None = None,
        tags: Tags | None = None,
        index: IndexOptions | None = None,
        create: bool = True,
        observer: StoreObserver | None = None,
    ) -> AbstractAsyncContextManager[FhirStore]:
        """Opens `file:DIR`, `memory:` or `s3://bucket/prefix`, to be used as `async with FhirStore.open(…) as store`.

        `tenants`: the ids that exist, each below its own prefix; None: every well-formed one; `REGISTERED`: those that
        the store's registry names (the store's `tenants` adds and removes them). `buckets`: tenant -> bucket instead,
        each with a bucket of its own. `fhir_version`: the release of all resources, "4.0", "4.3" or "5.0".
        `validation` of what is written: "off", "structure" or "full". `reference_integrity`: refuse a resource that
        refers to a resource of the tenant which does not exist. `job_limits`: how many jobs a tenant may have.
        `inline_bytes`: a Binary with more content than this (1,024,000 by default) is stored with its content outside
        its record; with `externalize_attachments`, so is longer data of attachments, each in a Binary of its own
        (`fhirstore.interactions.attachments`). `export_options`: how its workers export. `submit_options`: who may
        submit in bulk, and how that is processed. `tags`: which kinds of objects carry tags; without it, all but
        versions. `index`: where the search indexes lie; without it, in the directory of a `file:` store, in the user's
        cache folder for a bucket, in a temporary folder for `memory:`.
        `create`: make the directory of a `file:` store where there is none; without it, a location that is not a store
        already is refused, and so is `memory:`. `observer`: is told of every request to the object stores. Raises
        StoreMisconfigured with one line that says what to do; ValueError for an unknown release or level.
        """

        async def one(place: str, tenant: str | None = None) -> ObjectStore:
            options = s3 if s3 is None or tenant is None else s3.within(tenant)
            objects = await open_store(place, s3=options, create=create)
            return objects if observer is None else ObservedStore(objects, observer)

        @asynccontextmanager
        async def opened() -> AsyncIterator[FhirStore]:
            async with AsyncExitStack() as stack:
                if buckets:
                    stores: dict[str, ObjectStore] = {}
                    for tenant, place in bucket_locations(location, buckets).items():
                        stores[tenant] = await one(place, tenant)
                        stack.push_async_callback(stores[tenant].aclose)
                    tenancy: Tenancy = BucketTenancy(stores)
                else:
                    objects = await one(location)
                    stack.push_async_callback(objects.aclose)
                    if isinstance(tenants, RegisteredTenants):
                        tenancy = registered = RegisteredTenancy(objects)
                        await stack.enter_async_context(registered.watching())
                    else:
                        tenancy = PrefixTenancy(objects, None if tenants is None else frozenset(tenants))
                store = cls(
                    tenancy,
                    limits=limits,
                    inline_bytes=inline_bytes,
                    fhir_version=fhir_version,
                    validation=validation,
                    reference_integrity=reference_integrity,
                    externalize_attachments=externalize_attachments,
                    job_limits=job_limits,
                    submit_options=submit_options,
                    export_options=export_options,
                    tags=tags,
                    index=index_options(location, index, buckets=buckets),
                )
                stack.push_async_callback(store.aclose)
                store._follow_indexes()
                yield store

        return _Opening(opened())

    @property
    def indexes(self) -> list[IndexStatus]:
        """How the search indexes are that this process looks after, by what it knows. Nothing is read."""
        return self._engine.indexes.led

    def _follow_indexes(self) -> None:
        """Goes on with the indexes that were in use before, where the options ask for that."""
        indexes = self._engine.indexes
        for tenant in indexes.existing() if indexes.options.follow else ():
            with suppress(UnknownTenant):
                self._engine.indexer(self.tenancy.place(tenant)).follow()

    async def aclose(self) -> None:
        """Waits for writes whose callers were cancelled, and closes the search indexes; not the object stores.

        `open` does so at the end of its block. A store that was made from a tenancy must be closed by its maker.
        """
        await self.settle(within=_GRACE)
        await self._engine.indexes.aclose()

    @property
    def tenants(self) -> Tenants:
        """The registry of tenants. Raises Unsupported where it does not say which there are."""
        if not isinstance(self.tenancy, RegisteredTenancy):
            raise Unsupported("The tenants of this store are configured, and not registered in it")
        return Tenants(self.tenancy, Context(self.tenancy.objects.now, self._engine.ids, self._engine.limits))

    @property
    def release(self) -> str:
        """The FHIR release of all resources: "4.0", "4.3" or "5.0"."""
        return self.definitions.release

    @property
    def definitions(self) -> Definitions:
        """What that release defines: resource types, elements, search parameters, operations, compartments."""
        return self._engine.validator.definitions

    def tenant(self, tenant: str) -> TenantStore:
        """Returns one tenant's resources. Raises UnknownTenant when the id is malformed or not configured."""
        return TenantStore(self._engine, self.tenancy.place(tenant), submit_options=self._submit_options)

    def worker(
        self,
        *,
        kinds: Iterable[JobKind] | None = None,
        only: str | None = None,
        at_once: int = 2,
        poll: float = 5.0,
        say: Callable[[str], None] = lambda _: None,
        activity: Activity | None = None,
        ran: Ran = lambda *_: None,
    ) -> Worker:
        """Returns a worker on the jobs of all tenants; `await worker.run(stop)` works until the event `stop` is set.

        `kinds`: the jobs that it does; None: all that the library knows, or the `only` one that has this name.
        `at_once`: jobs at once. `poll`: seconds between its looks at an idle queue. `say`: gets a line on what failed.
        `activity`: returns how many requests of clients this process has begun so far, and how many are under way:
        while there are any, jobs take a sixth of the time. Without it, the worker tells that by the load of the event
        loop. `ran`: is told of each run: tenant, kind and id of the job, and how it ended.
        """
        known = self._job_kinds() if kinds is None else kinds
        return Worker(
            self.tenancy,
            [kind for kind in known if only in (None, kind.name)],
            ids=self._engine.ids,
            limits=self._engine.limits,
            signals=self._engine.job_signals,
            job_limits=self._engine.job_limits,
            at_once=at_once,
            poll=poll,
            say=say,
            activity=activity,
            ran=ran,
        )

    def audit_trail(self, tenant: str | None, objects: ObjectStore | None = None) -> AuditTrail:
        """Returns a tenant's audit trail; None: that of requests that were refused before their tenant was known.

        `objects`: another store, which has a folder for each tenant. Raises UnknownTenant.
        """
        if tenant is None:
            return AuditTrail(objects or self.tenancy.stores[0], Keyspace(WITHOUT_TENANT))
        place = self.tenancy.place(tenant)
        if objects is not None:
            return AuditTrail(objects, Keyspace.of_tenant(tenant))
        return AuditTrail(place.objects, place.keys)

    def audit_writer(
        self,
        trail: AuditTrail | None,
        held: Held,
        *,
        options: AuditOptions,
        clock: Clock | None = None,
        on_failure: Callable[[Exception], None] = lambda _: None,
    ) -> AuditWriter:
        """Returns what collects the events of this process for a trail; the caller must close it before this store."""
        return AuditWriter(
            trail,
            held,
            ids=self._engine.ids,
            clock=clock or SystemClock(),
            patients_of=self._patients_of,
            options=options,
            on_failure=on_failure,
        )

    def _patients_of(self, content: bytes) -> frozenset[str]:
        """Returns the patients in whose compartments the resource is, given as stored."""
        if b"Patient" not in content and b"\\" not in content:
            return frozenset()
        return self._compartments.patients(msgspec.json.decode(content, type=dict[str, object]))

    def _job_kinds(self) -> tuple[JobKind, ...]:
        """Returns every kind of job that the library has."""
        return (
            ExportJob(self._engine.validator.definitions, self._export_options, self._engine.tags),
            SubmitJob(self._engine, self._submit_options),
        )

    def from_xml(self, body: bytes) -> bytes:
        """Returns the JSON of a resource given as FHIR XML. Raises MalformedContent, InvalidResource."""
        return forms.from_xml(body, self.definitions)

    def to_xml(self, resource: models.Resource, *, pretty: bool = False, page: bool = False) -> bytes:
        """Returns a resource (`version.content`, a dict, a model) as FHIR XML. `pretty`: one element on a line.

        `page`: it is a Bundle made of stored resources; an OperationOutcome stands for an entry that XML cannot hold.
        Raises InvalidResource for a character that XML does not have.
        """
        return forms.to_xml(as_bytes(resource), self.definitions, pretty=pretty, page=page)

    def part(self, resource: models.Resource, *, summary: str | None = None, elements: Sequence[str] = ()) -> bytes:
        """Returns a part of a resource as JSON, marked SUBSETTED: as `_summary`, or `_elements`, selects it.

        `summary`: true, text, data or false. Raises InvalidResource for another value, or both.
        """
        return forms.part(as_bytes(resource), self.definitions, summary=summary, elements=elements)

    async def copy_to(
        self,
        target: FhirStore,
        tenant: str,
        *,
        options: CopyOptions | None = None,
        on_progress: Callable[[CopyProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> CopyReport:
        """Copies a tenant's data with its histories into another store, or goes on with that (`upkeep/copy`).

        Nothing may write into the target meanwhile; this store may be served. `stop`: ends it in good order. Raises
        CopyRefused, UnknownTenant, StoreFull, LeaseLost, Unavailable, other ObjectErrors; then call it again.
        """
        ours, theirs = self.tenancy.place(tenant), target.tenancy.place(tenant)
        contexts = (self._engine.context(ours), target._engine.context(theirs))
        return await copy_tenant(ours, theirs, contexts=contexts, options=options, on_progress=on_progress, stop=stop)

    async def register_in(
        self, target: FhirStore, *, tenant: str | None = None, but: Collection[str] = ()
    ) -> list[str]:
        """Adds the tenants that this store's registry names as live to that of another store, where they were copied.

        `tenant`: only this one. `but`: not these. Returns those that were added. Nothing is done where a side has a
        bucket per tenant. 1 GET, and 1 GET + 2 PUT for each. Raises CorruptRecord, TenantNotEmpty (the target is
        removing it), Unavailable.
        """
        places = (self.tenancy, target.tenancy)
        if any(isinstance(each, BucketTenancy) for each in places):
            return []
        ours, theirs = (RegisteredTenancy(each.stores[0]) for each in places)
        context = Context(theirs.objects.now, target._engine.ids, target._engine.limits)
        return await copy_registration(ours, Tenants(theirs, context), tenant=tenant, but=but)

    async def compare_to(
        self,
        target: FhirStore,
        tenant: str,
        *,
        at_once: int = 32,
        on_progress: Callable[[CopyProgress], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Verified:
        """Compares a copy of a tenant's data with its source, which this is, byte for byte. Writes nothing."""
        ours, theirs = self.tenancy.place(tenant), target.tenancy.place(tenant)
        tally = Tally(on_progress, phase="verifying")
        return await verify(ours, theirs, at_once=at_once, tally=tally, stop=stop)

    async def refuse_unfinished_copies(self) -> None:
        """Raises StoreMisconfigured where a copy into this store was begun and is not complete.

        1 LIST per store, 1 GET per tenant that was ever copied into it.
        """
        for objects in self.tenancy.stores:
            unfinished = await unfinished_copies(objects)
            if unfinished:
                raise StoreMisconfigured(
                    objects.location,
                    f"tenant '{unfinished[0]}' is an unfinished copy of another store; run the same `fhirstore copy` "
                    "again until it says complete",
                )

    async def check(self) -> None:
        """Checks that all object stores can be reached. Raises StoreMisconfigured, or Unavailable where the registry of
        tenants cannot be read."""
        if isinstance(self.tenancy, RegisteredTenancy):
            self.tenancy.check_trusted()
        for objects in self.tenancy.stores:
            await objects.check()

    async def settle(self, *, within: float | None = None) -> int:
        """Waits for the writes whose callers were cancelled. Returns how many were ended after `within` seconds."""
        return await self._engine.settle(within=within)


def _with_inline_bytes(limits: Limits | None, inline_bytes: int | None) -> Limits:
    limits = limits or Limits()
    return limits if inline_bytes is None else replace(limits, inline_bytes=inline_bytes)


class _Opening(AbstractAsyncContextManager[FhirStore]):
    """A store that `async with` opens. Any other use of it is told so."""

    def __init__(self, opened: AbstractAsyncContextManager[FhirStore]) -> None:
        self._opened = opened

    async def __aenter__(self) -> FhirStore:
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._opened.__aexit__(kind, error, traceback)

    def __await__(self) -> NoReturn:
        raise TypeError(_HOW_TO_OPEN)

    def __enter__(self) -> NoReturn:
        raise TypeError(_HOW_TO_OPEN)

    def __exit__(self, *_: object) -> None:
        """Is never called, since `__enter__` raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(_HOW_TO_OPEN)
