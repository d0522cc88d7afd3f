"""One tenant's resources: every FHIR interaction as a method. Wiring only; the decisions are made in the packages.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace as with_members
from datetime import datetime
from typing import Literal, overload

from msgspec.structs import replace

from fhirstore.access.access import Access
from fhirstore.access.interactions import Interaction
from fhirstore.access.sight import Sight, sight_of
from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.process import process
from fhirstore.bundles.results import BundleResult
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol, Result
from fhirstore.commit.moving_out import content_of
from fhirstore.commit.reading import look, vread
from fhirstore.commit.single import Decide, WriteResult
from fhirstore.commit.transaction import Part
from fhirstore.credentials.tenant import Credentials
from fhirstore.engine import Engine
from fhirstore.errors import (
    AccessDenied,
    ContentTooLarge,
    Gone,
    IdempotencyKeyReused,
    InvalidResource,
    Issue,
    NotFound,
)
from fhirstore.export.exports import Exports
from fhirstore.fhir import json, models
from fhirstore.fhir.json import Template
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.validation.operation import ValidateRequest, with_body
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.marker import with_marker
from fhirstore.format.payload import Payload
from fhirstore.format.record import Record
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryPage, HistoryQuery, since_time
from fhirstore.history.seen import Sees, seen_events, seen_instance
from fhirstore.interactions import resources
from fhirstore.interactions.admission import Admission, as_bytes, is_large, parsed_resource
from fhirstore.interactions.attachments import MOST as MOST_ATTACHMENTS
from fhirstore.interactions.attachments import Outside, Taken, binary_id, outside, take_out, with_binaries
from fhirstore.interactions.matching import Matching, shown
from fhirstore.interactions.preconditions import IfMatch, IfNoneMatch, preconditions, version_number
from fhirstore.interactions.unchanged import as_stored
from fhirstore.jobs.tenant import Jobs
from fhirstore.objects.base import ObjectStore
from fhirstore.runs.dataset import Runs
from fhirstore.search.criteria import Criteria, parse_criteria
from fhirstore.search.matches import Matches
from fhirstore.search.page import Search, SearchPage
from fhirstore.search.parameters import Parameters, Value, page_of, pairs_of
from fhirstore.search.seen import seen_page, seen_total
from fhirstore.search.unmet_criteria import how_read, refuse_unmet
from fhirstore.submit.options import SubmitOptions
from fhirstore.submit.submissions import Submissions
from fhirstore.tenancy import Place
from fhirstore.threads import LARGE, offload, offload_if
from fhirstore.transfers.transfers import Uploads
from fhirstore.upkeep.tenant import Upkeep
from fhirstore.uploads.payloads import Payloads
from fhirstore.version import Version, version_of


class TenantStore:
    """FHIR interactions on one tenant's resources. Each is atomic, and durable when it returns.

    `id`: the tenant's. `upkeep`: maintenance: sweep, fsck and purge. `payloads`: large contents of Binaries. `jobs`:
    long jobs. `exports`, `submissions`: bulk export and submit.
    """

    def __init__(
        self,
        engine: Engine,
        place: Place,
        *,
        submit_options: SubmitOptions | None = None,
        sight: Sight | None = None,
    ) -> None:
        """`sight`: what may be seen and written; None: everything."""
        self._engine = engine
        self._place = place
        self.id = place.tenant
        self._admission = Admission(engine.validator, self._exists if engine.reference_integrity else None)
        self._matching = Matching(engine, place)
        self._submit_options = submit_options
        self._sight = sight

    def acting(self, access: Access | None) -> TenantStore:
        """Returns the same tenant, restricted to what the access allows; None: this store, as it is.

        Its methods are the same, and raise AccessDenied for what no scope allows. What an access does not see is as if
        it were not there: see `fhirstore.access.sight`. Raises AccessDenied for the access of another tenant.
        """
        if access is None:
            return self
        if self._sight is not None or access.tenant not in (None, self._place.tenant):
            raise AccessDenied("This token is for another tenant")
        sight = sight_of(access, self._engine.validator.definitions.release)
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
    def payloads(self) -> Payloads:
        """The tenant's large contents of Binaries."""
        sight = self._sight
        if sight is None:
            return Payloads(self._place, self._context())
        require = sight.require_right
        return Payloads(self._place, self._context(), require=lambda rights: require(rights, "Binary", "the content"))

    @property
    def submissions(self) -> Submissions:
        """The tenant's bulk submissions."""
        options = self._submit_options or SubmitOptions()
        if self._sight is None:
            return Submissions(self._engine, self._place, self._jobs, options)
        return Submissions(self._engine, self._place, self._jobs, options, admit=self._sight.require_submitter)

    @property
    def uploads(self) -> Uploads:
        """The tenant's direct uploads: content that clients send to the store itself, or in parts that resume."""
        return Uploads(
            self._engine,
            self._place,
            Payloads(self._place, self._context()),
            create=self._create_uploaded,
            check=self._check_uploaded,
            read=lambda id: self._vread("Binary", id, 1),
            owner=None if self._sight is None else self._sight.owner,
            require_admin=self._require_admin,
        )

    @property
    def exports(self) -> Exports:
        """The tenant's bulk exports."""
        return Exports(self._place, self._context(), self._jobs, self._engine.validator.definitions, self._sight)

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
            outcome = await self._commit(type_, id_, decide, fresh=True, heavy=_is_heavy(template))
        else:
            outcome = await self._commit_with(moved[1], type_, id_, decide, fresh=idempotency_key is None)
        if outcome.record is None or not outcome.applied:
            return await self._first_answer(type_, id_, build)
        return version_of(type_, id_, outcome.record, created=True)

    async def create_binary(
        self,
        resource: models.Resource,
        payload: Payload,
        *,
        id: str | None = None,
        idempotency_key: str | None = None,
        once: bool = False,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Stores a Binary without `data` whose content was uploaded before (`payloads`).

        Without `id` it is a new resource under a server-assigned id; 5 PUT + 1 GET, 4 round trips; with
        `idempotency_key` as for `create`. With `id` it is the next version under that id, or the first one, with
        preconditions as for `update`; with `once` only the first one: otherwise that is returned, whatever is in it.
        Raises PayloadGone (nothing referred to the content in time: upload it again), and as `create` and `update`.
        """
        content = await parsed_resource(resource)
        if content.get("resourceType") != "Binary":
            raise InvalidResource("Only a Binary has a payload", expression=("resourceType",))
        if "data" in content:
            raise InvalidResource("The content of this Binary was given twice", expression=("Binary.data",))
        if not payload.well_formed:
            raise InvalidResource("This is no payload; give what `payloads.receive` returned", code="value")
        marked = json.encode(with_marker(content, payload.sha256, payload.size))
        if id is None:
            creating = await self._creating("Binary", marked)
            template, _ = await self._admission.of_type(marked, "Binary")
            key = None if idempotency_key is None else self._owned(idempotency_key)
            id_ = self._engine.ids.new() if key is None else resources.id_for_key(self._place.tenant, "Binary", key)
        else:
            creating = self._changing("update", "Binary")
            template, (_, id_) = await self._admission.with_id(marked, "Binary", id)
        build = resources.builder(template, id_)
        if once or (id is None and idempotency_key is not None):
            decide = resources.creation_once(build, payload)
        elif id is None:
            decide = resources.creation(build, payload)
        else:
            wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
            decide = resources.update(build, wanted, payload=payload)
        by_content = id is not None and self._limits("u", "Binary")
        outcome = await self._commit("Binary", id_, creating(decide), fresh=id is None, by_content=by_content)
        if once and not outcome.applied:
            return await self.vread("Binary", id_, 1)
        if id is None and (outcome.record is None or not outcome.applied):
            return await self._first_answer("Binary", id_, build)
        assert outcome.record is not None  # noqa: S101 - it makes a record, or leaves one as it is
        return version_of("Binary", id_, outcome.record, created=outcome.created or id is None)

    async def _create_uploaded(self, resource: dict[str, object], payload: Payload, key: str) -> Version:
        """Stores the Binary of an upload under the id that derives from `key`, once. Returns its first version.

        Whoever began it was allowed to; a sweep may be who completes it.
        """
        anybody = TenantStore(self._engine, self._place)
        return await anybody.create_binary(resource, payload, idempotency_key=key)

    async def _check_uploaded(self, resource: dict[str, object]) -> None:
        """Raises what a create of the Binary of an upload would raise."""
        creating = await self._creating("Binary", resource)
        template, _ = await self._admission.of_type(resource, "Binary")
        creating(resources.creation(resources.builder(template, self._engine.ids.new())))(None)

    async def _first_answer(self, type: str, id: str, build: Callable[[int, int], bytes]) -> Version:
        """Returns what the first request with this Idempotency-Key was answered."""
        first = await self._vread(type, id, 1)
        if as_stored(build(1, first.last_updated_ms), first.content) != first.content:
            raise IdempotencyKeyReused
        return replace(first, created=True)

    @overload
    async def read(self, type: str, id: str, *, as_model: Literal[False] = False) -> Version: ...
    @overload
    async def read(self, type: str, id: str, *, as_model: Literal[True]) -> models.AnyModel: ...
    @overload
    async def read(self, type: str, id: str, *, as_model: type[models.Model]) -> models.Model: ...

    async def read(
        self, type: str, id: str, *, as_model: bool | type[models.Model] = False
    ) -> Version | models.AnyModel:
        """Returns the current version. 1 GET. Raises NotFound, Gone, UnknownType, InvalidResource (malformed id).

        `as_model`: return a model of fhir.resources instead, of this class if it is one (else of the class that
        `fhirstore.fhir.models` names). Raises Unsupported where there is no model, or it refuses the resource.
        """
        keys = self._keys(type, id)
        self._require("read", type)
        base, _ = await drive(look(keys), self._place.objects)
        if base.record is not None and base.etag is not None:
            self._engine.remembered.remember(self._place.tenant, keys.current, base.record, base.etag)
        record = base.shown if self._sight is None else await self._seen(self._sight, type, base.shown)
        return self._shown(version_of(type, id, resources.readable(record)), as_model)

    @overload
    async def vread(
        self, type: str, id: str, version_id: int | str, *, as_model: Literal[False] = False
    ) -> Version: ...
    @overload
    async def vread(self, type: str, id: str, version_id: int | str, *, as_model: Literal[True]) -> models.AnyModel: ...
    @overload
    async def vread(
        self, type: str, id: str, version_id: int | str, *, as_model: type[models.Model]
    ) -> models.Model: ...

    async def vread(
        self, type: str, id: str, version_id: int | str, *, as_model: bool | type[models.Model] = False
    ) -> Version | models.AnyModel:
        """Returns that version. 2 GET, 1 round trip. Raises NotFound, Gone (it is a tombstone), and as `read`."""
        version = await self._vread(type, id, version_number(version_id), sight=self._sight)
        return self._shown(version, as_model)

    async def _vread(self, type: str, id: str, version: int, *, sight: Sight | None = None) -> Version:
        keys = self._keys(type, id)
        if sight is not None:
            sight.require("vread", type)
            if sight.limits("r", type):
                base, _ = await drive(look(keys), self._place.objects)
                if await self._seen(sight, type, base.shown) is None:
                    return version_of(type, id, resources.readable(None))
        record = await drive(vread(keys, version, limits=self._engine.limits), self._place.objects)
        if sight is not None:
            record = await self._seen(sight, type, record)
        return version_of(type, id, resources.readable(record))

    async def _seen(self, sight: Sight, type: str, record: Record | None) -> Record | None:
        """Returns the record; None where it is hidden. 1 GET for a Binary whose `securityContext` is no Patient."""
        if record is None or sight.shows("r", type, record):
            return record
        if type != "Binary" or not record.resource or not await self._is_linked(sight, record.resource):
            return None
        return record if sight.covers("r", json.parse(record.resource, max_values=None), linked=True) else None

    def _shown(self, version: Version, as_model: bool | type[models.Model]) -> Version | models.AnyModel:
        return (
            models.model_of(
                json.parse(version.content, max_values=None),
                as_model,
                release=self._engine.validator.definitions.release,
            )
            if as_model
            else version
        )

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
            outcome = await self._commit(type_, id_, decide, by_content=by_content, heavy=_is_heavy(template))
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

    async def with_attachments(self, version: Version, *, most: int, base_url: str | None = None) -> Version:
        """Returns the version with the data of its attachments in it, as far as it lies in Binaries of this tenant.

        `most`: bytes of data, together, and of attachments `attachments.MOST`. `base_url`: below which absolute URLs
        are of this tenant. An attachment whose Binary is gone, or has other content than its hash says, stays as it
        is. 1 GET for each, and its content. Raises ContentTooLarge.
        """
        definitions = self._engine.validator.definitions
        content = await offload_if(len(version.content) > LARGE, json.parse, version.content, max_values=None)
        found = await offload_if(len(version.content) > LARGE, outside, content, definitions, base_url=base_url)
        room, filled = most, False
        if len(found) > MOST_ATTACHMENTS:
            raise ContentTooLarge(f"More than {MOST_ATTACHMENTS} attachments; read their Binaries", code="too-costly")
        for one in found:
            data = await self._content_of(one, room)
            room -= len(data or b"")
            filled |= data is not None and await offload_if(len(data) > LARGE, one.put_back, data)
        if not filled:
            return version
        return replace(version, content=await offload(json.encode, content))

    async def _content_of(self, attachment: Outside, most: int) -> bytes | None:
        """Returns the content of an attachment's Binary; None without one. Raises ContentTooLarge."""
        try:
            if attachment.version is None:
                binary = await self.read("Binary", attachment.id)
            else:
                binary = await self.vread("Binary", attachment.id, attachment.version)
        except (NotFound, Gone, AccessDenied):
            return None
        size = len(binary.content) // 4 * 3 if binary.payload is None else binary.payload.size
        if size > most:
            raise ContentTooLarge("The data of the attachments is too much for one answer", code="too-costly")
        if binary.payload is None:
            return content_of(
                await offload_if(len(binary.content) > LARGE, json.parse, binary.content, max_values=None)
            )
        async with self.payloads.open(binary.payload) as chunks:
            return b"".join([chunk async for chunk in chunks])

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

    async def conditional_create(
        self, resource: models.Resource, criteria: Parameters, *, type: str | None = None
    ) -> Version:
        """Creates the resource, unless one meets the criteria, like `identifier=system|value`: returns that one then.

        `created` of the result tells which. `criteria`: a query as in a URL, a mapping, or pairs. The resource must
        meet them itself, so that callers who repeat this, or do it at the same time, create one. 2 LIST more than
        `create`, and 1 PUT for each identifier. Raises MultipleMatches, Unsupported (criteria), and as `create`.
        """
        self._require("conditional-create", type)
        template, type_ = await self._admission.of_type(resource, type)
        self._require("conditional-create", type_)
        condition = self._seeing("search", self._matching.condition(type_, criteria))
        creating = await self._creating(type_, resource)

        def create(id: str) -> Decide:
            build = resources.builder(template, id)
            refuse_unmet(condition, type_, id, build(1, 0))
            return creating(resources.creation(build))

        return await self._matching.create(condition, create, heavy=_is_heavy(template))

    async def conditional_update(
        self,
        resource: models.Resource,
        criteria: Parameters,
        *,
        type: str | None = None,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Updates the resource that meets the criteria; creates one where none does.

        An id in the resource must be the id of the match; where none matches, it becomes the id of the new resource.
        The resource must meet the criteria itself, as for `conditional_create`. Raises IdTaken (none matches, and
        another resource has the id), MultipleMatches, Unsupported (criteria), and as `update`.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        self._require("conditional-update", type)
        template, (type_, id_) = await self._admission.with_id_if_any(resource, type)
        changing = self._changing("conditional-update", type_, creates=True)
        condition = self._seeing("search", self._matching.condition(type_, criteria))

        def update(id: str) -> Decide:
            build = resources.builder(template, id)
            refuse_unmet(condition, type_, id, build(1, 0))
            return changing(resources.update(build, wanted))

        free = not self._limits("u", type_)
        return await self._matching.update(condition, update, id=id_, under_id=free, heavy=_is_heavy(template))

    async def conditional_patch(
        self,
        type: str,
        criteria: Parameters,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: IfNoneMatch = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Patches the resource that meets the criteria.

        Raises NotFound (none does), MultipleMatches, Unsupported (criteria), and as `patch`.
        """
        wanted = preconditions(if_match, if_none_match, skip_unchanged=skip_unchanged)
        changing = self._changing("conditional-patch", self._admission.known_type(type))
        condition = self._seeing("search", self._matching.condition(type, criteria))
        resources.refuse_no_patch(patch)
        done = await self._admission.patched(
            lambda verified: resources.patching(patch, self._engine.validator, wanted, verified=verified),
            lambda decide: self._matching.change(condition, changing(decide), heavy=True),
        )
        if done is None:
            raise NotFound(f"No resource meets the criteria; {how_read(condition.identifiers)}")
        return shown(done)

    async def conditional_delete(
        self, type: str, criteria: Parameters, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> Version | None:
        """Deletes the resource that meets the criteria. Returns the tombstone, or None where none does.

        Raises MultipleMatches, Unsupported (criteria), and as `delete`.
        """
        wanted = preconditions(if_match, if_none_match)
        changing = self._changing("conditional-delete", self._admission.known_type(type))
        condition = self._seeing("search", self._matching.condition(type, criteria))
        done = await self._matching.change(condition, changing(resources.deletion(wanted)))
        return None if done is None else shown(done)

    async def delete_matching(
        self, type: str, criteria: Parameters, *, if_match: IfMatch = None, if_none_match: IfNoneMatch = None
    ) -> tuple[Version, ...]:
        """Deletes all resources that meet the criteria, 250 at most. Returns the tombstones.

        Each is deleted on its own, not all at one instant. Raises MultipleMatches (more than 250, or several and a
        precondition: nothing was deleted), WriteOutcomeUnknown (only some were deleted; call it again), Unsupported
        (criteria), and as `delete`.
        """
        wanted = preconditions(if_match, if_none_match)
        changing = self._changing("conditional-delete", self._admission.known_type(type))
        condition = self._seeing("search", self._matching.condition(type, criteria))
        return await self._matching.delete_all(condition, wanted, changing=changing)

    async def history(
        self,
        type: str | None = None,
        id: str | None = None,
        *,
        query: HistoryQuery | None = None,
        since: datetime | None = None,
    ) -> AsyncIterator[Version]:
        """Yields every version of one resource, of a type or of all, newest first, deletions included; page by page.

        `since`: only versions made at or after it; instead of that of `query`. Raises NotFound (one resource without
        any version), UnknownType, InvalidResource, Unavailable.
        """
        page = await self.history_page(type, id, query=query, since=since)
        while True:
            for version in page.versions:
                yield version
            if page.next is None:
                return
            page = await self.history_page(type, id, query=query, since=since, cursor=page.next)

    async def history_page(
        self,
        type: str | None = None,
        id: str | None = None,
        *,
        query: HistoryQuery | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
    ) -> HistoryPage:
        """Returns one page of the history: the first, or the one that the `next` of another page names.

        n entries cost at most n + 1 GET for one resource, 2 LIST + 2n GET for a type or all. Raises as `history`.
        """
        query, context = query or HistoryQuery(), self._context()
        if since is not None:
            query = since_time(query, since)
        if type is not None and id is not None:
            keys = self._keys(type, id)
            sees = self._history_sees("history-instance", type)
            page = await drive(instance_page(keys, query, cursor, context=context), self._place.objects)
            return page if sees is None else await drive(seen_instance(keys, sees, page), self._place.objects)
        if type is not None:
            self._admission.known_type(type)
        sees = self._history_sees("history-system" if type is None else "history-type", type)
        remembered = self._engine.remembered_histories
        events = EventsHistory(self._place.tenant, self._place.keys, type, query, remembered, context)
        asked = events.page(cursor) if sees is None else seen_events(events, sees, cursor)
        return await drive(asked, self._place.objects)

    def _history_sees(self, interaction: Interaction, type: str | None) -> Sees | None:
        """Returns what a history shows; None: everything. Raises AccessDenied."""
        sight = self._sight
        if sight is None:
            return None
        if type is None:
            sight.require_any(interaction, self._engine.validator.definitions.resources)
        else:
            sight.require(interaction, type)
        sees = sight.sees(interaction, type)
        return None if sees is None else Sees(sees, lambda one: sight.limits("r", one))

    def search(self, type: str | None = None, parameters: Parameters = (), /, **keywords: Value) -> Matches:
        """Searches resources of a type (None: of all types) by `_id`, `_lastUpdated` and `identifier`.

        `await search("Patient", identifier="system|value")` returns the first page, a `SearchPage`; `async for` over
        the same yields all matches. `parameters`: a mapping, pairs or a query, for names that are no keywords.
        `_count`: matches on a page, 50 without it, 250 at most; 0: the total alone. `_cursor`: the `next` of another
        page. What it costs: `fhirstore.search`. Raises UnknownType, InvalidResource, Unsupported, Unavailable.
        """

        async def page(cursor: str | None) -> SearchPage:
            pairs, count, first = page_of(pairs_of(parameters, keywords))
            return await self.search_page(self.criteria(type, pairs), count=count, cursor=cursor or first)

        return Matches(page)

    async def count(self, type: str | None = None, parameters: Parameters = (), /, **keywords: Value) -> int | None:
        """Returns how many resources match; None where there are more than about 1,000. 1 GET per match.

        Parameters and errors as for `search`.
        """
        return await self.search_total(self.criteria(type, pairs_of(parameters, keywords)))

    def criteria(self, type: str | None, parameters: Iterable[tuple[str, str]], *, lenient: bool = False) -> Criteria:
        """Reads search parameters, unquoted, for `search_page` and `search_total`. `type` None: of all types.

        `lenient`: leave out what is not supported (`Criteria.ignored`). Raises UnknownType, InvalidResource,
        Unsupported.
        """
        known = None if type is None else self._admission.known_type(type)
        self._require("search", known)
        now, release = self._place.objects.now(), self._engine.validator.definitions.release
        return self._seeing("search", parse_criteria(known, parameters, now=now, lenient=lenient, release=release))

    async def search_page(
        self, criteria: Criteria, *, count: int | None = None, cursor: str | None = None
    ) -> SearchPage:
        """Returns one page of the matches: the first, or the one that the `next` of another page names.

        `count`: as `_count` of `search`. Raises InvalidResource (cursor), Unavailable.
        """
        return await self._search(
            criteria,
            lambda search: (
                search.page(count, cursor) if search.criteria.sees is None else seen_page(search, count, cursor)
            ),
        )

    async def search_total(self, criteria: Criteria) -> int | None:
        """Returns how many match: 1 GET per resource, up to about 1,000; None where there are more.

        Raises Unavailable.
        """
        return await self._search(
            criteria, lambda search: search.total() if search.criteria.sees is None else seen_total(search)
        )

    async def _search(self, criteria: Criteria, ask: Callable[[Search], Protocol[Result]]) -> Result:
        remembered, context = self._engine.remembered_histories, self._context()
        seen = self._seeing("search", criteria)
        search = Search(self._place.tenant, self._place.keys, seen, remembered, context)
        return await drive(ask(search), self._place.objects)

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

    async def validate(self, request: ValidateRequest, body: models.Resource | None = None) -> tuple[Issue, ...]:
        """Returns what $validate says of the resource in the request, in the body or stored, and what it did not check.

        `body`: a resource (JSON, a dict, a model), or Parameters with resource, mode and profile. Nothing is written;
        1 GET for each profile and value set. Raises MalformedContent, UnknownType, NotFound, InvalidResource (without
        a resource, or with an unknown mode or profile).
        """
        self._admission.known_type(request.type)
        content = await parsed_resource(body) if body else None
        if self._sight is not None:
            self._sight.require_right("cr", request.type, "validate")
        asked = request if content is None else with_body(request, content)
        rules = TenantStore(self._engine, self._place)

        async def find(type: str, id: str) -> dict[str, object] | None:
            """Profiles and value sets are read as the server's rules, whoever asks."""
            return await (self if (type, id) == (request.type, request.id) else rules)._find(type, id)

        return await self._engine.examiner.examine(asked, find)

    def runs(self, dataset: str) -> Runs:
        """Returns the sealed runs of a dataset: files that become visible all at once and never change.

        Raises InvalidName, AccessDenied (unless an administrator acts).
        """
        self._require_admin("Access to runs")
        return Runs(self._place.objects, self._place.keys, dataset, context=self._context(), perform=self._perform)

    async def _perform(self, protocol: Protocol[Result]) -> Result:
        """Runs a protocol to its end, even if the caller is cancelled once it has begun to write."""
        return await self._engine.run(self._place, protocol)

    async def _process(self, bundle: models.Resource, options: BundleOptions | None, *kinds: str) -> BundleResult:
        content = await parsed_resource(bundle)
        return await process(
            content,
            self,
            engine=self._engine,
            place=self._place,
            reading=self._on,
            options=options,
            kinds=kinds,
            large=is_large(bundle),
            sight=self._sight,
        )

    def _on(self, objects: ObjectStore) -> TenantStore:
        """Returns the same tenant, its objects reached through these."""
        place = Place(self._place.tenant, objects, self._place.keys)
        return TenantStore(self._engine, place, submit_options=self._submit_options, sight=self._sight)

    async def _find(self, type: str, id: str) -> dict[str, object] | None:
        """Returns the current version of a resource, parsed; None where there is none."""
        try:
            version = await self.read(type, id)
            return await offload_if(len(version.content) > LARGE, json.parse, version.content, max_values=None)
        except (NotFound, Gone, InvalidResource, AccessDenied):
            return None

    async def _exists(self, type: str, id: str) -> bool:
        return await self._find(type, id) is not None

    def _context(self) -> Context:
        return self._engine.context(self._place)

    def _keys(self, type: str, id: str) -> ResourceKeys:
        return self._place.keys.resource(self._admission.known_type(type), resources.text_of_id(id))

    # --- what the access allows -----------------------------------------------------------------------------

    def _require_admin(self, what: str) -> None:
        if self._sight is not None:
            self._sight.require_admin(what)

    def _require(self, interaction: Interaction, type: str | None) -> None:
        if self._sight is not None and type is not None:
            self._sight.require(interaction, type)

    def _limits(self, rights: str, type: str) -> bool:
        return self._sight is not None and self._sight.limits(rights, type)

    async def _creating(self, type: str, resource: models.Resource) -> Callable[[Decide], Decide]:
        """Returns what restricts the decision of a create. Raises AccessDenied."""
        sight = self._sight
        if sight is None:
            return _as_it_is
        sight.require("create", type)
        linked = type == "Binary" and sight.limits("c", type) and await self._is_linked(sight, as_bytes(resource))
        return lambda decide: sight.creating(decide, type, linked=linked)

    async def _is_linked(self, sight: Sight, binary: bytes) -> bool:
        """Whether the `securityContext` of a Binary is a resource, not a Patient, that is seen. 1 GET."""
        link = sight.link_of(json.parse(binary, max_values=None))
        if link is None or link[0] == "Patient" or not sight.may("read", link[0]):
            return False
        base, _ = await drive(look(self._place.keys.resource(*link)), self._place.objects)
        return base.shown is not None and not base.shown.deleted and sight.shows("r", link[0], base.shown)

    def _changing(self, interaction: Interaction, type: str, *, creates: bool = False) -> Callable[[Decide], Decide]:
        """Returns what restricts the decision of a change. Raises AccessDenied.

        `creates`: without a record, the decision is about a new resource under a server-assigned id.
        """
        sight = self._sight
        if sight is None:
            return _as_it_is
        sight.require(interaction, type)
        return lambda decide: sight.changing(interaction, decide, type, creates=creates)

    def _seeing(self, interaction: Interaction, criteria: Criteria) -> Criteria:
        """Returns the criteria of what is seen as well. Raises AccessDenied."""
        if self._sight is None:
            return criteria
        if criteria.type is not None:
            self._sight.require(interaction, criteria.type)
        else:
            for types in criteria.types:
                for type in sorted(types):
                    self._sight.require(interaction, type)
            self._sight.require_any(interaction, self._engine.validator.definitions.resources)
        sees = self._sight.sees(interaction, criteria.type)
        return criteria if sees is None else with_members(criteria, sees=sees)

    def _owned(self, idempotency_key: str) -> str:
        """Returns the key, made that of who acts: it is of no use to others."""
        return idempotency_key if self._sight is None else self._sight.owned(idempotency_key)

    async def _commit(
        self,
        type: str,
        id: str,
        decide: Decide,
        *,
        fresh: bool = False,
        by_content: bool = False,
        heavy: bool = False,
    ) -> WriteResult:
        keys = self._place.keys.resource(type, id)
        return await self._engine.commit(self._place, keys, decide, fresh=fresh, by_content=by_content, heavy=heavy)


def _is_heavy(template: Template) -> bool:
    """Whether it takes long to write, hash and compare a version of it."""
    return template.size > LARGE


def _as_it_is(decide: Decide) -> Decide:
    return decide
