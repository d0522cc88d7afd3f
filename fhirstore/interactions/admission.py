"""Prepares a resource before it is written: parses, identifies and validates it, and follows its references.

https://hl7.org/fhir/R4/http.html#create · https://hl7.org/fhir/R4/http.html#integrity
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import TypeVar

from fhirstore.commit.single import Decide, WriteResult
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json, models
from fhirstore.fhir.json import JsonObject, Template
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.integrity import Exists, Target, follow, relative_references
from fhirstore.fhir.validation.references import refuse_references_by_search
from fhirstore.interactions import resources
from fhirstore.interactions.conditional import Done
from fhirstore.threads import LARGE, offload_if

_Identity = TypeVar("_Identity")
_Written = TypeVar("_Written", bound=WriteResult | Done | None)


class Admission:
    """Admits resources of one release. `exists`: tells whether a resource exists; None: references are not followed."""

    def __init__(self, validator: Validator, exists: Exists | None = None) -> None:
        self._validator = validator
        self._types = validator.definitions.resources
        self._exists = exists

    def known_type(self, type: str) -> str:
        """Returns the type. Raises UnknownType when the release has no such type."""
        return resources.known_type(type, self._types)

    async def of_type(self, resource: models.Resource, type: str | None) -> tuple[Template, str]:
        """Returns a resource and its type, which must be `type` if given. Raises MalformedContent, InvalidResource."""
        return await self._admit(resource, lambda content: resources.type_of(content, type, self._types))

    async def with_id_if_any(
        self, resource: models.Resource, type: str | None
    ) -> tuple[Template, tuple[str, str | None]]:
        """Returns a resource, its type and its own id, if it has one. Raises as `of_type`."""

        def identify(content: JsonObject) -> tuple[str, str | None]:
            type_ = resources.type_of(content, type, self._types)
            return type_, resources.id_if_any(content, type_)

        return await self._admit(resource, identify)

    async def with_id(
        self, resource: models.Resource, type: str | None, id: str | None
    ) -> tuple[Template, tuple[str, str]]:
        """Returns a resource, its type and its own id, which must be those given. Raises as `of_type`."""

        def identify(content: JsonObject) -> tuple[str, str]:
            type_ = resources.type_of(content, type, self._types)
            return type_, resources.id_for_update(content, type_, id)

        return await self._admit(resource, identify)

    async def patched(
        self, decision: Callable[[Set[Target] | None], Decide], write: Callable[[Decide], Awaitable[_Written]]
    ) -> _Written:
        """Writes what a patch makes, and follows its references, which are known only when it is decided.

        `decision`: given the resources that are known to be there, or None where references are not followed. `write`
        is called again when the references that it met are followed. Raises what both raise, and RulesBroken for a
        dangling reference.
        """
        if self._exists is None:
            return await write(decision(None))
        verified: set[Target] = set()
        while True:
            written = await write(decision(verified))
            if written is None or not written.unverified:
                return written
            await follow(written.unverified, self._exists)
            verified.update(written.unverified)

    def _takes_long(self, resource: models.Resource) -> bool:
        """Whether it takes long to read and validate it. To evaluate invariants always takes long."""
        return is_large(resource) or self._validator.level == "full"

    async def _admit(
        self, resource: models.Resource, identify: Callable[[JsonObject], _Identity]
    ) -> tuple[Template, _Identity]:
        """Returns the resource, and what `identify` returns. A large one is read and validated in a thread."""

        def admit() -> tuple[JsonObject, _Identity, Template]:
            content, compact = json.read(as_bytes(resource))
            identity = identify(content)
            padded = self._validator.check(content)
            if self._validator.level == "off" and (b"?" in compact or b"\\u" in compact):
                refuse_references_by_search(self._validator.definitions, content)
            template = Template(content, None if padded else compact)
            if self._exists is None and is_large(resource):
                json.dismantle(content)
            return content, identity, template

        content, identity, template = await offload_if(self._takes_long(resource), admit)
        if self._exists is not None:
            await follow(relative_references(self._validator.definitions, content), self._exists)
        return template, identity


async def parsed_resource(resource: models.Resource) -> JsonObject:
    """Returns the JSON object of a resource that is not stored itself: a Bundle to process, or Parameters.

    Raises MalformedContent, InvalidResource.
    """
    return await offload_if(is_large(resource), parsed, resource)


def is_large(resource: models.Resource) -> bool:
    """Whether it takes long to read and validate it."""
    return isinstance(resource, bytes | str) and len(resource) > LARGE


def parsed(resource: models.Resource) -> JsonObject:
    """Returns the JSON object of a resource, in whatever form it is given. Raises MalformedContent, InvalidResource."""
    return json.parse(as_bytes(resource))


def as_bytes(resource: models.Resource) -> bytes:
    """Returns its JSON. Raises InvalidResource."""
    if isinstance(resource, bytes):
        return resource
    if models.is_model(resource):
        return json.dump(models.members(resource))
    if isinstance(resource, Mapping):
        return json.dump(resource)
    if isinstance(resource, str):
        return resource.encode("utf-8", "surrogatepass")  # half of a surrogate pair is refused with its place
    raise InvalidResource(
        "A resource is given as JSON (text or bytes), as a mapping, or as a model of fhir.resources", code="structure"
    )
