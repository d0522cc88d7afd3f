"""One tenant's resources: every FHIR interaction as a method. Wiring only; the packages it calls decide.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Literal, overload

from msgspec.structs import replace

from fhirstore.bundles.options import BundleOptions
from fhirstore.bundles.process import process
from fhirstore.bundles.results import BundleResult
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look, vread
from fhirstore.commit.rules import Context
from fhirstore.commit.single import Decide, Outcome
from fhirstore.engine import Engine
from fhirstore.errors import Gone, IdempotencyKeyReused, InvalidResource, Issue, NotFound
from fhirstore.fhir import models
from fhirstore.fhir.json import Template
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.validation.operation import ValidateRequest, with_body
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.interactions import resources
from fhirstore.interactions.admission import Admission, is_large, parsed_resource
from fhirstore.interactions.conditions import IfMatch, VersionIds
from fhirstore.interactions.matching import Matching, shown
from fhirstore.objects.base import ObjectStore
from fhirstore.search.criteria import Criteria, parse_criteria
from fhirstore.search.own_criteria import how_read, refuse_unmet
from fhirstore.search.page import Search, SearchPage
from fhirstore.tenancy import Place
from fhirstore.threads import LARGE, offload_if
from fhirstore.upkeep.tenant_upkeep import Upkeep
from fhirstore.version import Version, version_of


class TenantStore:
    """FHIR interactions on one tenant's resources. Each is atomic, and durable when it returns.

    `upkeep`: what is no interaction: sweep, fsck and purge.
    """

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place
        self._admission = Admission(engine.validator, self._exists if engine.reference_integrity else None)
        self._matching = Matching(engine, place)
        self.upkeep = Upkeep(engine, place)

    async def create(
        self,
        resource: models.Resource,
        *,
        type: str | None = None,
        idempotency_key: str | None = None,
        if_none_exist: str | None = None,
    ) -> Version:
        """Store a new resource under a server-assigned id; an id in it is ignored. 4 PUT, 2 round trips.

        `resource`: JSON bytes, a dict, or a model of fhir.resources. `type`: what it must be. `idempotency_key`: the
        id is derived from it, so that asking again makes nothing new and returns the first version. `if_none_exist`:
        criteria like `identifier=system|value`; what meets them is returned as it is, with `created` False, and the
        key does not matter; what is created must meet them. Raises MalformedContent, InvalidResource, MultipleMatches,
        Unsupported (criteria), IdempotencyKeyReused (with another body), NotFound (what the key stands for was purged).
        """
        template, type_ = await self._admission.of_type(resource, type)
        if if_none_exist is not None:
            condition = self._matching.condition(type_, if_none_exist)

            def create(id: str) -> Decide:
                build = resources.builder(template, id)
                refuse_unmet(condition, type_, id, build(1, 0))
                return resources.creation(build)

            return await self._matching.create(condition, create, heavy=_is_heavy(template))
        if idempotency_key is None:
            id_, creation = self._engine.ids.new(), resources.creation
        else:
            id_, creation = resources.id_for_key(self._place.tenant, type_, idempotency_key), resources.creation_once
        build = resources.builder(template, id_)
        outcome = await self._commit(type_, id_, creation(build), fresh=True, heavy=_is_heavy(template))
        if outcome.record is None or not outcome.applied:
            return await self._first_answer(type_, id_, build)
        return version_of(type_, id_, outcome.record, created=True)

    async def _first_answer(self, type: str, id: str, build: Callable[[int, int], bytes]) -> Version:
        """What the first request with this Idempotency-Key was answered."""
        first = await self.vread(type, id, 1)
        if build(1, first.last_updated) != first.content:
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
        """The current version. 1 GET. Raises NotFound, Gone, UnknownType, InvalidResource (malformed id).

        `as_model`: as a model of fhir.resources, of this class if it is one (else as `fhirstore.fhir.models` says);
        Unsupported if there is none, or it refuses the resource.
        """
        keys = self._keys(type, id)
        base, _ = await drive(look(keys), self._place.objects)
        if base.record is not None and base.etag is not None:
            self._engine.remembered.remember(self._place.tenant, keys.current, base.record, base.etag)
        return self._shown(version_of(type, id, resources.readable(base.shown)), as_model)

    @overload
    async def vread(self, type: str, id: str, version_id: int, *, as_model: Literal[False] = False) -> Version: ...
    @overload
    async def vread(self, type: str, id: str, version_id: int, *, as_model: Literal[True]) -> models.AnyModel: ...
    @overload
    async def vread(self, type: str, id: str, version_id: int, *, as_model: type[models.Model]) -> models.Model: ...

    async def vread(
        self, type: str, id: str, version_id: int, *, as_model: bool | type[models.Model] = False
    ) -> Version | models.AnyModel:
        """That version. 2 GET, 1 round trip. Raises NotFound, Gone (that version is a deletion). See `read`."""
        keys = self._keys(type, id)
        record = await drive(vread(keys, version_id, rules=self._engine.rules), self._place.objects)
        return self._shown(version_of(type, id, resources.readable(record)), as_model)

    def _shown(self, version: Version, as_model: bool | type[models.Model]) -> Version | models.AnyModel:
        return (
            models.model_of(version.json(), as_model, release=self._engine.validator.definitions.release)
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
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Store the next version under the resource's own id, creating it if need be. 1 GET + 4 PUT, 3 round trips.

        `type`, `id`: what it must carry. `if_match`: only over that version, or one of those, or one that is not newer
        than `UnmodifiedSince`. `if_none_match`: only where none of those is current; `VersionIds(any=True)`: only where
        nothing exists. `skip_unchanged`: what says the same as the current version makes no version; 1 GET. Raises
        MalformedContent, InvalidResource, VersionConflict, Contention.
        """
        template, (type_, id_) = await self._admission.with_id(resource, type, id)
        decide = resources.update(
            resources.builder(template, id_), if_match, if_none_match=if_none_match, skip_unchanged=skip_unchanged
        )
        outcome = await self._commit(type_, id_, decide, heavy=_is_heavy(template))
        assert outcome.record is not None  # noqa: S101 - an update makes a record, or leaves one as it is
        return version_of(type_, id_, outcome.record, created=outcome.created)

    async def patch(
        self,
        type: str,
        id: str,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Change parts of the current version: a `JsonPatch`, `MergePatch` or `FhirPathPatch`. 1 GET + 4 PUT.

        Conditions as for `update`; without `if_match` it is done again on whatever version others made meanwhile.
        Raises NotFound, Gone, VersionConflict, PatchFailed, InvalidResource (the result), ContentTooLarge, Contention.
        """
        resources.well_formed_id(id)
        keys = self._keys(type, id)
        outcome = await self._admission.patched(
            lambda verified: resources.patching(
                patch,
                self._engine.validator,
                if_match,
                if_none_match=if_none_match,
                skip_unchanged=skip_unchanged,
                verified=verified,
            ),
            lambda decide: self._engine.commit(self._place, keys, decide, by_content=True, heavy=True),
        )
        assert outcome.record is not None  # noqa: S101 - a patch makes a record, or leaves one as it is
        return version_of(type, id, outcome.record)

    async def conditional_patch(
        self,
        type: str,
        criteria: str,
        patch: Patch,
        *,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Patch what meets the criteria, like `identifier=system|value`.

        Raises NotFound (nothing does), MultipleMatches, Unsupported (criteria), and as `patch`.
        """
        condition = self._matching.condition(self._admission.known_type(type), criteria)
        done = await self._admission.patched(
            lambda verified: resources.patching(
                patch,
                self._engine.validator,
                if_match,
                if_none_match=if_none_match,
                skip_unchanged=skip_unchanged,
                verified=verified,
            ),
            lambda decide: self._matching.change(condition, decide, heavy=True),
        )
        if done is None:
            raise NotFound(f"No resource meets the criteria; {how_read(condition.identifiers)}")
        return shown(done)

    async def delete(
        self, type: str, id: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> Version | None:
        """Make a tombstone the next version. Returns it, or the older tombstone, or None where nothing ever was.

        1 GET + 4 PUT, 3 round trips. Conditions as for `update`. Raises VersionConflict, Contention.
        """
        self._admission.known_type(type)
        resources.well_formed_id(id)
        outcome = await self._commit(type, id, resources.deletion(if_match, if_none_match=if_none_match))
        return None if outcome.record is None else version_of(type, id, outcome.record)

    async def conditional_update(
        self,
        resource: models.Resource,
        criteria: str,
        *,
        type: str | None = None,
        if_match: IfMatch = None,
        if_none_match: VersionIds | None = None,
        skip_unchanged: bool = False,
    ) -> Version:
        """Update what meets the criteria, like `identifier=system|value`; create it where nothing does.

        An id in the resource must be that of what matches; where nothing does, it is created under it. Never makes two,
        whoever tries at the same time, or how often: the resource must meet the criteria itself. Raises IdTaken
        (nothing does, and the id has a resource), MultipleMatches, Unsupported (criteria), and as `update`.
        """
        template, (type_, id_) = await self._admission.with_id_if_any(resource, type)
        condition = self._matching.condition(type_, criteria)

        def update(id: str) -> Decide:
            build = resources.builder(template, id)
            refuse_unmet(condition, type_, id, build(1, 0))
            return resources.update(build, if_match, if_none_match=if_none_match, skip_unchanged=skip_unchanged)

        return await self._matching.update(condition, update, id=id_, heavy=_is_heavy(template))

    async def conditional_delete(
        self, type: str, criteria: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> Version | None:
        """Delete what meets the criteria; returns the tombstone, or None where nothing does.

        Raises MultipleMatches, Unsupported (criteria), and as `delete`.
        """
        condition = self._matching.condition(self._admission.known_type(type), criteria)
        done = await self._matching.change(condition, resources.deletion(if_match, if_none_match=if_none_match))
        return None if done is None else shown(done)

    async def delete_matching(
        self, type: str, criteria: str, *, if_match: IfMatch = None, if_none_match: VersionIds | None = None
    ) -> tuple[Version, ...]:
        """Delete all that meets the criteria, 250 resources at most; returns the tombstones.

        Each is deleted on its own, not all at one instant. Raises MultipleMatches (more than 250, or several and a
        condition on the version: nothing was deleted), WriteOutcomeUnknown (only some were deleted: ask again),
        Unsupported (criteria), and as `delete`.
        """
        condition = self._matching.condition(self._admission.known_type(type), criteria)
        return await self._matching.delete_all(condition, if_match=if_match, if_none_match=if_none_match)

    async def history(
        self, type: str | None = None, id: str | None = None, *, query: HistoryQuery | None = None
    ) -> AsyncIterator[Version]:
        """Every version of one resource, of a type or of all, newest first, deletions included; page by page.

        Raises NotFound (one resource that was never there), UnknownType, InvalidResource, Unavailable.
        """
        page = await self.history_page(type, id, query=query)
        while True:
            for version in page.versions:
                yield version
            if page.next is None:
                return
            page = await self.history_page(type, id, query=query, cursor=page.next)

    async def history_page(
        self,
        type: str | None = None,
        id: str | None = None,
        *,
        query: HistoryQuery | None = None,
        cursor: str | None = None,
    ) -> HistoryPage:
        """One page of it: the first, or the one that the `next` of another page names.

        n entries cost at most n + 1 GET for one resource, 2 LIST + 2n GET for a type or all. Raises as `history`.
        """
        query, context = query or HistoryQuery(), self._context()
        if type is not None and id is not None:
            one = instance_page(self._keys(type, id), query, cursor, context=context)
            return await drive(one, self._place.objects)
        if type is not None:
            self._admission.known_type(type)
        remembered = self._engine.remembered_histories
        events = EventsHistory(self._place.tenant, self._place.keys, type, query, remembered, context)
        return await drive(events.page(cursor), self._place.objects)

    def criteria(self, type: str | None, parameters: Iterable[tuple[str, str]], *, lenient: bool = False) -> Criteria:
        """Read search parameters, unquoted: `_id`, `_lastUpdated`, `identifier`. `type` None: of all types.

        `lenient`: leave out what is not supported (`Criteria.ignored`). Raises UnknownType, InvalidResource,
        Unsupported.
        """
        known = None if type is None else self._admission.known_type(type)
        now, release = self._place.objects.now(), self._engine.validator.definitions.release
        return parse_criteria(known, parameters, now=now, lenient=lenient, release=release)

    async def search(self, criteria: Criteria, *, count: int | None = None, cursor: str | None = None) -> SearchPage:
        """One page of what matches: the first, or the one that the `next` of another page names.

        `count`: matches wanted, 50 if None, 250 at most; 0: the total alone. What it costs: `fhirstore.search`. Raises
        InvalidResource (cursor), Unavailable.
        """
        remembered, context = self._engine.remembered_histories, self._context()
        search = Search(self._place.tenant, self._place.keys, criteria, remembered, context)
        return await drive(search.page(count, cursor), self._place.objects)

    async def count(self, criteria: Criteria) -> int | None:
        """How many match: 1 GET per resource, up to about 1,000; None where there are more. Raises Unavailable."""
        remembered, context = self._engine.remembered_histories, self._context()
        search = Search(self._place.tenant, self._place.keys, criteria, remembered, context)
        return await drive(search.total(), self._place.objects)

    async def process(
        self, bundle: bytes | Mapping[str, object], *, options: BundleOptions | None = None
    ) -> BundleResult:
        """Process a Bundle of type batch or transaction, as its type says. Raises InvalidResource, ContentTooLarge;
        for a transaction, what any of its entries raises: then nothing was written."""
        return await self._process(bundle, options, "batch", "transaction")

    async def batch(
        self, bundle: bytes | Mapping[str, object], *, options: BundleOptions | None = None
    ) -> BundleResult:
        """Do every entry on its own; the results are in the order of the entries. Raises as `process`."""
        return await self._process(bundle, options, "batch")

    async def transaction(
        self, bundle: bytes | Mapping[str, object], *, options: BundleOptions | None = None
    ) -> BundleResult:
        """Do all entries or none. N PUT entries: N GET + 5N+1 PUT, 3 round trips. Raises as `process`."""
        return await self._process(bundle, options, "transaction")

    async def validate(self, request: ValidateRequest, body: bytes | None = None) -> tuple[Issue, ...]:
        """What $validate says of the resource in the request, in the body or stored, and what it did not check.

        `body`: a resource, or Parameters with resource, mode and profile. Nothing is written; 1 GET for each profile
        and value set. Raises MalformedContent, UnknownType, NotFound, InvalidResource (no resource, mode or profile).
        """
        self._admission.known_type(request.type)
        content = await parsed_resource(body) if body else None
        asked = request if content is None else with_body(request, content)
        return await self._engine.examiner.examine(asked, self._find)

    async def _process(
        self, bundle: bytes | Mapping[str, object], options: BundleOptions | None, *kinds: str
    ) -> BundleResult:
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
        )

    def _on(self, objects: ObjectStore) -> TenantStore:
        """The same tenant, its objects reached by way of these."""
        return TenantStore(self._engine, Place(self._place.tenant, objects, self._place.keys))

    async def _find(self, type: str, id: str) -> dict[str, object] | None:
        """The current version of a resource, None where there is none."""
        try:
            version = await self.read(type, id)
            return await offload_if(len(version.content) > LARGE, version.json)
        except (NotFound, Gone, InvalidResource):
            return None

    async def _exists(self, type: str, id: str) -> bool:
        return await self._find(type, id) is not None

    def _context(self) -> Context:
        return self._engine.context(self._place)

    def _keys(self, type: str, id: str) -> ResourceKeys:
        return self._place.keys.resource(self._admission.known_type(type), id)

    async def _commit(self, type: str, id: str, decide: Decide, *, fresh: bool = False, heavy: bool = False) -> Outcome:
        keys = self._place.keys.resource(type, id)
        return await self._engine.commit(self._place, keys, decide, fresh=fresh, heavy=heavy)


def _is_heavy(template: Template) -> bool:
    """Whether it takes long to make a version of it: to put it together, to hash it, to compare it."""
    return template.size > LARGE
