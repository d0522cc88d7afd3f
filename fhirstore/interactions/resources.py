"""create, read, vread, update, delete on one resource: what each decides, as pure functions.

https://hl7.org/fhir/R4/http.html. What is checked here is what the request needs to be understood: the body's
`resourceType` is a type of the release, its id is a FHIR id. Whether it obeys FHIR otherwise:
`fhirstore.fhir.validation`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Container

from fhirstore.commit.single import Decide, Draft
from fhirstore.errors import ContentTooLarge, Gone, InvalidResource, NotFound, PatchFailed, UnknownType
from fhirstore.fhir import json
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.patch import Patch
from fhirstore.fhir.patch.narrative import with_safe_narrative
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.references import refuse_references_by_search
from fhirstore.format.record import Record
from fhirstore.index.names import is_whole
from fhirstore.interactions.conditions import IfMatch, VersionIds, check
from fhirstore.interactions.unchanged import says_the_same

MAX_PATCHED = 32 * 1024 * 1024
"""Bytes of a resource that a patch may make: patches could let it grow without end."""


def known_type(type: str, types: Container[str]) -> str:
    """Raises UnknownType when it is none of the `types` of the release."""
    if type not in types:
        raise UnknownType("No FHIR resource type has this name here; type names are case-sensitive, like 'Patient'")
    return type


def well_formed_id(id: str) -> str:
    """Raises InvalidResource when `id` is no FHIR id."""
    if not is_id(id):
        raise InvalidResource(
            "Malformed id: use 1 to 64 characters of A-Z, a-z, 0-9, '-' and '.', and not '.' or '..' alone",
            code="value",
        )
    return id


def type_of(resource: dict[str, object], expected: str | None, types: Container[str]) -> str:
    """The resource's type. Raises InvalidResource when it is missing, unknown or not the `expected` one.

    Raises UnknownType when the expected one does not exist.
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
    """The resource's own id, as an update needs it. Raises InvalidResource when missing, malformed or another."""
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
    """The resource's own id, where a conditional update finds one. Raises InvalidResource when malformed."""
    return id_for_update(resource, type, None) if "id" in resource else None


def readable(record: Record | None) -> Record:
    """The record if a read may show it. Raises NotFound, Gone."""
    if record is None:
        raise NotFound("No such resource, or no such version of it")
    if record.deleted:
        raise Gone(f"The resource was deleted by version {record.version}", version=record.version)
    return record


def builder(template: json.Template, id: str) -> Callable[[int, int], bytes]:
    """What makes the bytes of a version of it, given its version id and time (epoch ms)."""
    return lambda version, t: template.fill(id=id, version=version, last_updated=t)


def creation(build: Callable[[int, int], bytes]) -> Decide:
    """POST: the next version, whatever was there (nothing, for a server-assigned id)."""
    return lambda _: Draft("POST", build)


def creation_once(build: Callable[[int, int], bytes]) -> Decide:
    """POST with an Idempotency-Key: nothing to do where the id that stands for the key has a version already."""
    return lambda current: Draft("POST", build) if current is None else None


def id_for_key(tenant: str, type: str, key: str) -> str:
    """The id that stands for an Idempotency-Key: a FHIR id, the same for the same tenant, type and key."""
    digest = hashlib.sha256("\0".join((tenant, type, key)).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest[:20]).decode("ascii")


def update(
    build: Callable[[int, int], bytes],
    if_match: IfMatch = None,
    *,
    if_none_match: VersionIds | None = None,
    skip_unchanged: bool = False,
) -> Decide:
    """PUT: the next version, also of a deleted or an unknown id (update as create).

    `skip_unchanged`: nothing to do where the current version says the same already.
    """

    def decide(current: Record | None) -> Draft | None:
        check(current, if_match, if_none_match)
        if skip_unchanged and current is not None and current.resource is not None:
            # A remembered record may lack its content; nothing to do yet, then, and it is read before that counts.
            stored = current.resource
            if not is_whole(stored) or says_the_same(build, stored, version=current.version, t=current.t):
                return None
        return Draft("PUT", build)

    return decide


def patching(
    patch: Patch,
    validator: Validator,
    if_match: IfMatch = None,
    *,
    if_none_match: VersionIds | None = None,
    skip_unchanged: bool = False,
) -> Decide:
    """PATCH: the current version, patched, if it is valid then and still the same resource.

    A patch without operations leaves it as it is, and so does, with `skip_unchanged`, one whose result says the same.

    It decides by the content, so what it is given must be just read; asked again, it patches what is current then.
    """

    def decide(current: Record | None) -> Draft | None:
        stored = readable(current).resource
        check(current, if_match, if_none_match)
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
        if (
            current is not None
            and skip_unchanged
            and says_the_same(build, stored, version=current.version, t=current.t)
        ):
            return None
        return Draft("PATCH", build)

    return decide


def deletion(if_match: IfMatch = None, *, if_none_match: VersionIds | None = None) -> Decide:
    """DELETE: a tombstone; nothing to do where there is no resource, or none any more."""

    def decide(current: Record | None) -> Draft | None:
        check(current, if_match, if_none_match)
        return None if current is None or current.deleted else Draft("DELETE", None)

    return decide
