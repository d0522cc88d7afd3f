"""One tenant's resources: every FHIR interaction as a method. Wiring only; the decisions are made in the packages.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from dataclasses import replace

from fhirstore.access.access import Access
from fhirstore.access.sight import sight_of
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.process import process
from fhirstore.bundles.results import BundleResult
from fhirstore.credentials.tenant import Credentials
from fhirstore.errors import AccessDenied
from fhirstore.export.exports import Exports
from fhirstore.fhir import models
from fhirstore.interactions.admission import is_large, parsed_resource
from fhirstore.jobs.tenant import Jobs
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.dataset import Runs
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.submissions import Submissions
from fhirstore.tenant.binaries import Binaries
from fhirstore.upkeep.tenant import Upkeep


class TenantStore(Binaries):
    """FHIR interactions on one tenant's resources. Each is atomic, and durable when it returns.

    `id`: the tenant's. `upkeep`: maintenance: sweep, fsck and purge. `payloads`: large contents of Binaries. `jobs`:
    long jobs. `exports`, `submissions`: bulk export and submit.
    """

    def acting(self, access: Access | None) -> TenantStore:
        """Returns the same tenant, restricted to what the access allows; None: this store, as it is.

        Its methods are the same, and raise AccessDenied for what no scope allows. What an access does not see is as if
        it were not there: see `fhirstore.access.sight`. Raises AccessDenied for the access of another tenant.
        """
        if access is None:
            return self
        if self._sight is not None or access.tenant not in (None, self._place.tenant):
            raise AccessDenied("This token is for another tenant")
        bases = frozenset(self._engine.indexes.options.bases)
        sight = sight_of(access, self._engine.validator.definitions.release, bases)
        return TenantStore(self._engine, self._place, submit_options=self._submit_options, sight=sight)

    @property
    def upkeep(self) -> Upkeep:
        """Maintenance: sweep, fsck and purge. Raises AccessDenied unless an administrator acts."""
        self._require_admin("Maintenance")
        return Upkeep(self._engine, self._place, sweep_transfers=self.uploads.sweep)

    @property
    def credentials(self) -> Credentials:
        """Clients and keys of a server's token endpoint. Raises AccessDenied unless an administrator acts."""
        self._require_admin("Access to credentials")
        return Credentials(self._place, self._context())

    @property
    def jobs(self) -> Jobs:
        """The tenant's jobs. Raises AccessDenied unless an administrator acts."""
        self._require_admin("Access to jobs")
        return self._jobs

    @property
    def _jobs(self) -> Jobs:
        engine = self._engine
        return Jobs(self._place, engine.context(self._place), engine.job_signals, engine.job_limits)

    @property
    def submissions(self) -> Submissions:
        """The tenant's bulk submissions."""
        options = self._submit_options or SubmitOptions()
        if self._sight is None:
            return Submissions(self._engine, self._place, self._jobs, options)
        return Submissions(self._engine, self._place, self._jobs, options, admit=self._sight.require_submitter)

    @property
    def exports(self) -> Exports:
        """The tenant's bulk exports."""
        return Exports(self._place, self._context(), self._jobs, self._engine.validator.definitions, self._sight)

    async def process(self, bundle: models.Resource, *, options: BundleOptions | None = None) -> BundleResult:
        """Processes a Bundle of type batch or transaction, as its type says. Raises InvalidResource, ContentTooLarge;
        for a transaction, what any of its entries raises: then nothing was written."""
        return await self._process(bundle, options, "batch", "transaction")

    async def batch(self, bundle: models.Resource, *, options: BundleOptions | None = None) -> BundleResult:
        """Processes every entry on its own; the results are in the order of the entries. Raises as `process`."""
        return await self._process(bundle, options, "batch")

    async def transaction(self, bundle: models.Resource, *, options: BundleOptions | None = None) -> BundleResult:
        """Processes all entries or none. N PUT entries: N GET + 5N+1 PUT, 3 round trips. Raises as `process`."""
        return await self._process(bundle, options, "transaction")

    def runs(self, dataset: str) -> Runs:
        """Returns the sealed runs of a dataset: files that become visible all at once and never change.

        Raises InvalidName, AccessDenied (unless an administrator acts).
        """
        self._require_admin("Access to runs")
        return Runs(self._place.objects, self._place.keys, dataset, context=self._context(), perform=self._perform)

    async def _process(self, bundle: models.Resource, options: BundleOptions | None, *kinds: str) -> BundleResult:
        content = await parsed_resource(bundle)
        return await process(
            content,
            self,
            engine=self._engine,
            place=self._place,
            reading=self._on,
            condition=self._condition,
            options=options,
            kinds=kinds,
            large=is_large(bundle),
            sight=self._sight,
        )

    def _on(self, objects: ObjectStore) -> TenantStore:
        """Returns the same tenant, its objects reached through these."""
        place = replace(self._place, objects=objects)
        return TenantStore(self._engine, place, submit_options=self._submit_options, sight=self._sight)
