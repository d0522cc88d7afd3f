"""create, read, vread, update, patch, delete on one resource: the decision of each, as pure functions.

https://hl7.org/fhir/R4/http.html. The checks here are those without which a request has no meaning: the body's
`resourceType` is a type of the release, its id is a FHIR id. `fhirstore.fhir.validation` checks everything else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Container, Set

from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import ContentTooLarge, Gone, InvalidResource, NotFound, PatchFailed, UnknownType
from fhirstore.fhir import json
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.patch.narrative import with_safe_narrative
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.integrity import Target, relative_references
from fhirstore.fhir.validation.references import refuse_references_by_search
from fhirstore.format.payload import Payload
from fhirstore.format.record import Record
from fhirstore.index.names import is_whole
from fhirstore.interactions.preconditions import NO_PRECONDITIONS, Preconditions
from fhirstore.interactions.unchanged import says_the_same

MAX_PATCHED = 32 * 1024 * 1024
"""Bytes of a patched resource, at most: without a limit, patches could let it grow without end."""


def known_type(type: str, types: Container[str]) -> str:
    """Returns the type. Raises UnknownType when it is not one of `types`, those of the release."""
    if type not in types:
        raise UnknownType("No FHIR resource type has this name here; type names are case-sensitive, like 'Patient'")
    return type


def text_of_id(id: str) -> str:
    """Returns the id. Raises InvalidResource for what is no text, as callers without a type checker may give it."""
    if not isinstance(id, str):
        raise InvalidResource("An id is text, like 'abc'", code="value")
    return id


def well_formed_id(id: str) -> str:
    """Returns the id. Raises InvalidResource when it is not a FHIR id."""
    if not is_id(text_of_id(id)):
        raise InvalidResource(
            "Malformed id: use 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.', and not '.' or '..' alone",
            code="value",
        )
    return id


def type_of(resource: dict[str, object], expected: str | None, types: Container[str]) -> str:
    """Returns the resource's type. Raises InvalidResource when it is missing, unknown or not the `expected` one;
    UnknownType when the expected type does not exist.
    """
    if expected is not None:
        known_type(expected, types)
    type_ = resource.get("resourceType")
    if not isinstance(type_, str):
        raise InvalidResource("The resource has no resourceType", code="required", expression=("resourceType",))
    if type_ not in types:
        raise InvalidResource("resourceType is no FHIR resource type here", code="value", expression=("resourceType",))
    if expected is not None and type_ != expected:
        raise InvalidResource(
            f"resourceType is {type_}, but the request is for {expected}", code="invalid", expression=("resourceType",)
        )
    return type_


def id_for_update(resource: dict[str, object], type: str, expected: str | None) -> str:
    """Returns the resource's own id, for an update. Raises InvalidResource when it is missing, malformed or not the
    `expected` one."""
    if expected is not None:
        well_formed_id(expected)
    id_ = resource.get("id")
    where = (f"{type}.id",)
    if not isinstance(id_, str):
        raise InvalidResource("An update needs the resource's id in its body", code="required", expression=where)
    if expected is not None and id_ != expected:
        raise InvalidResource("The id in the body is not the id in the URL", code="invalid", expression=where)
    return well_formed_id(id_)


def id_if_any(resource: dict[str, object], type: str) -> str | None:
    """Returns the resource's own id, for a conditional update, None without one. Raises InvalidResource."""
    return id_for_update(resource, type, None) if "id" in resource else None


def readable(record: Record | None) -> Record:
    """Returns the record, if a read may show it. Raises NotFound, Gone."""
    if record is None:
        raise NotFound("No such resource, or no such version of it")
    if record.deleted:
        raise Gone(f"The resource was deleted by version {record.version}", version=record.version)
    return record


def builder(template: json.Template, id: str) -> Callable[[int, int], bytes]:
    """Returns the function that makes the bytes of a version, given the version id and its time (epoch ms)."""
    return lambda version, t: template.fill(id=id, version=version, last_updated=t)


def creation(build: Callable[[int, int], bytes], payload: Payload | None = None) -> Decide:
    """POST: makes the next version unconditionally; the first one, for a server-assigned id."""
    return lambda _: Draft("POST", build, payload=payload)


def creation_once(build: Callable[[int, int], bytes], payload: Payload | None = None) -> Decide:
    """POST with an Idempotency-Key: makes a version only where the id derived from the key has none."""
    return lambda current: Draft("POST", build, payload=payload) if current is None else None


def id_for_key(tenant: str, type: str, key: str) -> str:
    """Returns the id derived from an Idempotency-Key: a FHIR id, the same for the same tenant, type and key."""
    digest = hashlib.sha256("\0".join((tenant, type, key)).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest[:20]).decode("ascii")


def update(
    build: Callable[[int, int], bytes],
    preconditions: Preconditions = NO_PRECONDITIONS,
    *,
    payload: Payload | None = None,
) -> Decide:
    """PUT: makes the next version, also of a deleted or an unknown id (update as create)."""

    def decide(current: Record | None) -> Draft | None:
        preconditions.check(current)
        if preconditions.skip_unchanged and current is not None and current.resource is not None:
            # A remembered record may lack its content. The answer "nothing to do" makes the caller read it, and decide
            # again.
            stored = current.resource
            if not is_whole(stored) or says_the_same(build, stored, version=current.version, t=current.t):
                return None
        return Draft("PUT", build, payload=payload)

    return decide


def patching(
    patch: Patch,
    validator: Validator,
    preconditions: Preconditions = NO_PRECONDITIONS,
    *,
    verified: Set[Target] | None = None,
) -> Decide:
    """PATCH: makes the current version, patched, the next one, if the result is valid and has the same type and id.

    A patch without operations makes no version; with `skip_unchanged`, neither does one that changes nothing.
    `verified`: the resources that are known to exist; the draft names the others that the result refers to. None:
    references are not checked. The decision depends on the content, so the record must just have been read; each
    attempt patches the record of its own.
    """

    def decide(current: Record | None) -> Draft | None:
        stored = readable(current).resource
        preconditions.check(current)
        if not stored or patch.changes_nothing:  # a remembered record may lack its content
            return None
        before = json.parse(stored, max_values=None)
        after = patch.apply(before, validator.definitions)
        for name in ("resourceType", "id"):
            if after.get(name) != before.get(name):
                raise PatchFailed(f"A patch cannot change the {name}", expression=(f"{before['resourceType']}.{name}",))
        after = with_safe_narrative(after, before)
        validator.check(after)
        if validator.level == "off":
            refuse_references_by_search(validator.definitions, after)
        template = json.Template(after)
        if template.size > MAX_PATCHED:
            raise ContentTooLarge(f"The patched resource would have more than {MAX_PATCHED:,} bytes")
        build = builder(template, str(before["id"]))
        if verified is not None:
            references = relative_references(validator.definitions, after)
            unverified = {at: where for at, where in references.items() if at not in verified}
            if unverified:
                return Draft("PATCH", build, unverified)
        if (
            current is not None
            and preconditions.skip_unchanged
            and says_the_same(build, stored, version=current.version, t=current.t)
        ):
            return None
        return Draft("PATCH", build)

    return decide


def refuse_no_patch(patch: object) -> None:
    """Raises InvalidResource for what is no patch, as callers without a type checker may give it."""
    if not isinstance(patch, Patch):
        raise InvalidResource(
            "A patch is a JsonPatch, a MergePatch or a FhirPathPatch; see their `parse`", code="value"
        )


def deletion(preconditions: Preconditions = NO_PRECONDITIONS) -> Decide:
    """DELETE: makes a tombstone, unless there is no resource, or a tombstone already."""

    def decide(current: Record | None) -> Draft | None:
        preconditions.check(current)
        return None if current is None or current.deleted else Draft("DELETE", None)

    return decide
