"""Interactions that read: read, vread, history and $validate.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal, overload

from fhirstore.access.interactions import Interaction
from fhirstore.access.sight import Sight
from fhirstore.commit.drive import drive
from fhirstore.commit.reading import look, vread
from fhirstore.errors import (
    AccessDenied,
    Gone,
    InvalidResource,
    Issue,
    NotFound,
)
from fhirstore.fhir import json, models
from fhirstore.fhir.validation.operation import ValidateRequest, with_body
from fhirstore.format.record import Record
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryPage, HistoryQuery, since_time
from fhirstore.history.seen import Sees, seen_events, seen_instance
from fhirstore.interactions import resources
from fhirstore.interactions.admission import parsed_resource
from fhirstore.interactions.preconditions import version_number
from fhirstore.tenant.searching import Searching
from fhirstore.threads import LARGE, offload_if
from fhirstore.version import Version, version_of


class Reading(Searching):
    """The reads of a tenant's store."""

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
        rules = Reading(self._engine, self._place)

        async def find(type: str, id: str) -> dict[str, object] | None:
            """Profiles and value sets are read as the server's rules, whoever asks."""
            return await (self if (type, id) == (request.type, request.id) else rules)._find(type, id)

        return await self._engine.examiner.examine(asked, find)

    async def _find(self, type: str, id: str) -> dict[str, object] | None:
        """Returns the current version of a resource, parsed; None where there is none."""
        try:
            version = await self.read(type, id)
            return await offload_if(len(version.content) > LARGE, json.parse, version.content, max_values=None)
        except (NotFound, Gone, InvalidResource, AccessDenied):
            return None

    async def _exists(self, type: str, id: str) -> bool:
        return await self._find(type, id) is not None
