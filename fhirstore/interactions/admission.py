"""What has to be settled of a resource before it is written: parsed, identified, validated, its references followed.

https://hl7.org/fhir/R4/http.html#create · https://hl7.org/fhir/R4/http.html#integrity
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from fhirstore.commit.single import Decide
from fhirstore.fhir import json, models
from fhirstore.fhir.json import JsonObject, Template
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.integrity import Exists, ReferencesToo, check_references
from fhirstore.interactions import resources
from fhirstore.threads import LARGE, offload_if

_Identity = TypeVar("_Identity")
_Result = TypeVar("_Result")


class Admission:
    """Lets resources of one release in. `exists`: whether a resource is there; None: references are not followed."""

    def __init__(self, validator: Validator, exists: Exists | None = None) -> None:
        self._validator = validator
        self._types = validator.definitions.resources
        self._exists = exists

    def known_type(self, type: str) -> str:
        """Raises UnknownType when the release has no such type."""
        return resources.known_type(type, self._types)

    async def of_type(self, resource: models.Resource, type: str | None) -> tuple[Template, str]:
        """A resource and its type, which must be `type` if that is given. Raises MalformedContent, InvalidResource."""
        return await self._admit(resource, lambda content: resources.type_of(content, type, self._types))

    async def with_id_if_any(
        self, resource: models.Resource, type: str | None
    ) -> tuple[Template, tuple[str, str | None]]:
        """A resource, its type and its own id, if it has one. Raises as `of_type`."""

        def identify(content: JsonObject) -> tuple[str, str | None]:
            type_ = resources.type_of(content, type, self._types)
            return type_, resources.id_if_any(content, type_)

        return await self._admit(resource, identify)

    async def with_id(
        self, resource: models.Resource, type: str | None, id: str | None
    ) -> tuple[Template, tuple[str, str]]:
        """A resource, its type and its own id, which must be these if they are given. Raises as `of_type`."""

        def identify(content: JsonObject) -> tuple[str, str]:
            type_ = resources.type_of(content, type, self._types)
            return type_, resources.id_for_update(content, type_, id)

        return await self._admit(resource, identify)

    async def patched(
        self, decision: Callable[[Validator], Decide], write: Callable[[Decide], Awaitable[_Result]]
    ) -> _Result:
        """`write` what a patch makes, which is known only when it is decided; references are followed between attempts.

        Raises what `decision` and `write` raise, RulesBroken.
        """
        if self._exists is None:
            return await write(decision(self._validator))
        watching = ReferencesToo(self._validator)
        decide = decision(watching)
        return await watching.following(lambda: write(decide), self._exists)

    def _takes_long(self, resource: models.Resource) -> bool:
        """Whether to read and validate it does; to evaluate invariants always does."""
        return is_large(resource) or self._validator.level == "full"

    async def _admit(
        self, resource: models.Resource, identify: Callable[[JsonObject], _Identity]
    ) -> tuple[Template, _Identity]:
        """What is to be written. What is large is read beside the event loop, which goes on meanwhile."""

        def admit() -> tuple[JsonObject, _Identity, Template]:
            content, compact = json.read(as_bytes(resource))
            identity = identify(content)
            padded = self._validator.check(content)
            template = Template(content, None if padded else compact)
            if self._exists is None and is_large(resource):
                json.dismantle(content)
            return content, identity, template

        content, identity, template = await offload_if(self._takes_long(resource), admit)
        if self._exists is not None:
            await check_references(self._validator.definitions, content, self._exists)
        return template, identity


async def parsed_resource(resource: bytes | Mapping[str, object]) -> JsonObject:
    """The JSON object of what is not admitted itself: a Bundle to process, whose entries are, or Parameters.

    Raises MalformedContent.
    """
    return await offload_if(is_large(resource), parsed, resource)


def is_large(resource: models.Resource) -> bool:
    """Whether it takes long to read and validate it."""
    return isinstance(resource, bytes) and len(resource) > LARGE


def parsed(resource: models.Resource) -> JsonObject:
    """The JSON object of a resource, however it is given. Raises MalformedContent."""
    return json.parse(as_bytes(resource))


def as_bytes(resource: models.Resource) -> bytes:
    """The JSON of a resource, however it is given."""
    if models.is_model(resource):
        resource = models.members(resource)
    return resource if isinstance(resource, bytes) else json.dump(resource)
