"""Binaries whose content lies outside their records, and attachments that were moved out into such Binaries.

https://hl7.org/fhir/R4/binary.html
"""

from __future__ import annotations

from msgspec.structs import replace

from fhirstore.commit.moving_out import content_of
from fhirstore.errors import (
    AccessDenied,
    ContentTooLarge,
    Gone,
    InvalidResource,
    NotFound,
)
from fhirstore.fhir import json, models
from fhirstore.format.marker import with_marker
from fhirstore.format.payload import Payload
from fhirstore.interactions import resources
from fhirstore.interactions.admission import parsed_resource
from fhirstore.interactions.attachments import MOST as MOST_ATTACHMENTS
from fhirstore.interactions.attachments import Outside, outside
from fhirstore.interactions.preconditions import IfMatch, IfNoneMatch, preconditions
from fhirstore.tenant.writing import Writing
from fhirstore.threads import LARGE, offload, offload_if
from fhirstore.transfers.transfers import Uploads
from fhirstore.uploads.payloads import Payloads
from fhirstore.version import Version, version_of


class Binaries(Writing):
    """The large contents of a tenant's store."""

    @property
    def payloads(self) -> Payloads:
        """The tenant's large contents of Binaries."""
        sight = self._sight
        if sight is None:
            return Payloads(self._place, self._context())
        require = sight.require_right
        return Payloads(self._place, self._context(), require=lambda rights: require(rights, "Binary", "the content"))

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
        anybody = Binaries(self._engine, self._place)
        return await anybody.create_binary(resource, payload, idempotency_key=key)

    async def _check_uploaded(self, resource: dict[str, object]) -> None:
        """Raises what a create of the Binary of an upload would raise."""
        creating = await self._creating("Binary", resource)
        template, _ = await self._admission.of_type(resource, "Binary")
        creating(resources.creation(resources.builder(template, self._engine.ids.new())))(None)

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
