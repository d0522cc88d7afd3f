"""Interactions that write one resource: create, update, patch and delete.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look
from fhirstore.commit.single import Decide, WriteResult
from fhirstore.commit.transaction import Part
from fhirstore.errors import IdempotencyKeyReused
from fhirstore.fhir import json, models
from fhirstore.fhir.json import Template
from fhirstore.fhir.patch import Patch
from fhirstore.interactions import resources
from fhirstore.interactions.admission import as_bytes
from fhirstore.interactions.attachments import Taken, binary_id, take_out, with_binaries
from fhirstore.interactions.preconditions import IfMatch, IfNoneMatch, preconditions
from fhirstore.interactions.unchanged import as_stored
from fhirstore.search.criteria.parameters import Parameters
from fhirstore.tenant.acting import is_heavy
from fhirstore.tenant.conditional import Conditional
from fhirstore.threads import offload
from fhirstore.version import Version, version_of


class Writing(Conditional):
    """The writes of a tenant's store."""

    async def create(
        self,
        resource: models.Resource,
        *,
        type: str | None = None,
        idempotency_key: str | None = None,
        if_none_exist: Parameters | None = None,
    ) -> Version:
        """Stores a new resource under a server-assigned id; an id in it is ignored. 4 PUT, 2 round trips.

        `resource`: JSON as bytes or text, a dict, or a model of fhir.resources. `type`: the type it must have.
        `idempotency_key`: the id is derived from it, so that a repeated call creates nothing and returns the first
        version. `if_none_exist`: as `conditional_create`; the key is not used then. Raises MalformedContent,
        InvalidResource, IdempotencyKeyReused (with another body), NotFound (the resource of this key was purged).
        """
        if if_none_exist is not None:
            return await self.conditional_create(resource, if_none_exist, type=type)
        self._require("create", type)
        template, type_ = await self._admission.of_type(resource, type)
        creating = await self._creating(type_, resource)
        if idempotency_key is None:
            id_, creation = self._engine.ids.new(), resources.creation
        else:
            key = self._owned(idempotency_key)
            id_, creation = resources.id_for_key(self._place.tenant, type_, key), resources.creation_once
        moved = await self._attachments(resource, type_, id_)
        build = resources.builder(template if moved is None else moved[0], id_)
        decide = creating(creation(build))
        if moved is None:
            outcome = await self._commit(type_, id_, decide, fresh=True, heavy=is_heavy(template))
        else:
            outcome = await self._commit_with(moved[1], type_, id_, decide, fresh=idempotency_key is None)
        if outcome.record is None or not outcome.applied:
            return await self._first_answer(type_, id_, build)
        return version_of(type_, id_, outcome.record, created=True)

    async def _first_answer(self, type: str, id: str, build: Callable[[int, int], bytes]) -> Version:
        """Returns what the first request with this Idempotency-Key was answered."""
        first = await self._vread(type, id, 1)
        if as_stored(build(1, first.last_updated_ms), first.content) != first.content:
            raise IdempotencyKeyReused
        return replace(first, created=True)

    async def update(
        self,
        resource: models.Resource,
        *,
        type: str | None = None,
        id: str | None = None,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Stores the next version under the resource's own id, or the first one. 1 GET + 4 PUT, 3 round trips.

        `type`, `id`: those it must have. `if_match`: only over that version (`3`, `"3"`, `'W/"3"'`), over one of these
        (`VersionIds`), over any (`"*"`), or over one that is not newer (`UnmodifiedSince`). `if_none_match`: only where
        none of these versions is current; `"*"`: only where no resource exists. `skip_unchanged`: a resource that
        equals the current version makes no new version; 1 GET. Raises MalformedContent, InvalidResource,
        VersionConflict, Contention.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        self._require("update", type)
        template, (type_, id_) = await self._admission.with_id(resource, type, id)
        moved = await self._attachments(resource, type_, id_)
        decide = resources.update(resources.builder(template if moved is None else moved[0], id_), wanted)
        decide = self._changing("update", type_)(decide)
        if moved is None:
            by_content = self._limits("u", type_)
            outcome = await self._commit(type_, id_, decide, by_content=by_content, heavy=is_heavy(template))
        else:
            outcome = await self._commit_with(moved[1], type_, id_, decide, unchanged=skip_unchanged)
        assert outcome.record is not None  # noqa: S101 - an update makes a record, or leaves one as it is
        return version_of(type_, id_, outcome.record, created=outcome.created)

    async def _attachments(self, resource: models.Resource, type: str, id: str) -> tuple[Template, list[Taken]] | None:
        """Returns the resource without the long data of its attachments, and that; None where it stays as it is."""
        above = self._engine.limits.inline_bytes
        if not self._engine.externalize_attachments or type == "Binary":
            return None

        def taken() -> tuple[Template, list[Taken]] | None:
            text = as_bytes(resource)
            if len(text) <= above or b'"data"' not in text:
                return None
            content = json.parse(text)
            found = take_out(content, self._engine.validator.definitions, above=above)
            for one in found:
                one.refer(binary_id(type, id, one))
            return (Template(content), found) if found else None

        return await offload(taken)

    async def _commit_with(
        self,
        taken: Sequence[Taken],
        type: str,
        id: str,
        decide: Decide,
        *,
        fresh: bool = False,
        unchanged: bool = False,
    ) -> WriteResult:
        """Writes a resource and the Binaries of its attachments in one transaction. `unchanged`: as `with_binaries`."""
        keys = self._place.keys
        owner = Part(keys.resource(type, id), decide, fresh=fresh)
        parts = with_binaries(owner, taken, keys, unchanged=unchanged)
        return (await self._engine.transact(self._place, parts, heavy=True))[0]

    async def check_preconditions(
        self, type: str, id: str, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> None:
        """Raises what a write with these preconditions would raise now: VersionConflict, InvalidResource. 1 GET.

        For callers whose content takes long to arrive. The write itself checks them again.
        """
        wanted = preconditions(if_match, if_none_match)
        keys = self._keys(type, resources.well_formed_id(id))
        self._require("update", type)
        base, _ = await drive(look(keys), self._place.objects)
        hidden = self._sight is not None and not self._sight.shows("u", type, base.shown)
        wanted.check(None if hidden else base.shown)

    async def patch(
        self,
        type: str,
        id: str,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Changes parts of the current version by a `JsonPatch`, `MergePatch` or `FhirPathPatch`. 1 GET + 4 PUT.

        Preconditions as for `update`; without `if_match` the patch is applied again where another writer was quicker.
        Raises NotFound, Gone, VersionConflict, PatchFailed, InvalidResource (the result), ContentTooLarge, Contention.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        keys = self._keys(type, resources.well_formed_id(id))
        resources.refuse_no_patch(patch)
        changing = self._changing("patch", type)
        outcome = await self._admission.patched(
            lambda verified: resources.patching(patch, self._engine.validator, wanted, verified=verified),
            lambda decide: self._engine.commit(self._place, keys, changing(decide), by_content=True, heavy=True),
        )
        assert outcome.record is not None  # noqa: S101 - a patch makes a record, or leaves one as it is
        return version_of(type, id, outcome.record)

    async def delete(
        self, type: str, id: str, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> Version | None:
        """Makes a tombstone the next version. Returns it, or the tombstone that is there, or None without any version.

        1 GET + 4 PUT, 3 round trips. Preconditions as for `update`. Raises VersionConflict, Contention.
        """
        wanted = preconditions(if_match, if_none_match)
        self._admission.known_type(type)
        resources.well_formed_id(id)
        decide = self._changing("delete", type)(resources.deletion(wanted))
        outcome = await self._commit(type, id, decide, by_content=self._limits("d", type))
        if outcome.record is None or (not outcome.applied and self._limits("d", type)):
            return None
        return version_of(type, id, outcome.record)
