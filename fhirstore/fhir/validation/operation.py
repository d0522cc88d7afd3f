"""$validate: reports everything about a resource, and what could not be checked, without writing anything.

It checks as much as the level `full`, whatever level writes use. Profiles that the resource names in meta.profile are
checked if they are stored; a profile that the request names must be stored.

https://hl7.org/fhir/R4/resource-operation-validate.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from fhirstore.errors import InvalidResource, Issue, NotFound
from fhirstore.fhir.definitions.nodes import Node, node_of, nodes, text, texts
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.validation.call_limit import TooManyCalls, call_within
from fhirstore.fhir.validation.full import MOST_CALLS, TOO_COSTLY, FullPass
from fhirstore.fhir.validation.invariants import Findings
from fhirstore.fhir.validation.profiles.conformance import conformance
from fhirstore.fhir.validation.profiles.library import Find, Library, collect, core_type
from fhirstore.fhir.validation.validator import Validator
from fhirstore.threads import offload

_MOST_UNCHECKED = 50


@dataclass(frozen=True, slots=True)
class ValidateRequest:
    """A $validate request. `type`, `id`: from the URL; `id` may be empty. `resource`: None: the stored one.

    `mode`: one of MODES, or empty. `profiles`: canonical URLs, optionally with `|version`.
    """

    MODES: ClassVar[tuple[str, ...]] = ("create", "update", "delete", "profile")

    type: str
    id: str = ""
    resource: JsonObject | None = field(default=None, repr=False)
    mode: str = ""
    profiles: tuple[str, ...] = ()


def with_body(request: ValidateRequest, body: JsonObject) -> ValidateRequest:
    """Returns the request completed from its body: a resource, or Parameters with resource, mode and profile."""
    named = {text(each, "name"): each for each in nodes(body, "parameter")}
    wraps = body.get("resourceType") == "Parameters" and (request.type != "Parameters" or "resource" in named)
    if not wraps:
        return ValidateRequest(request.type, request.id, body, request.mode, request.profiles)
    inner = node_of(named.get("resource", {}), "resource")
    profiles = [_value(each) for each in nodes(body, "parameter") if text(each, "name") == "profile"]
    return ValidateRequest(
        request.type,
        request.id,
        dict(inner) if inner else None,
        _value(named.get("mode", {})) or request.mode,
        (*request.profiles, *filter(None, profiles)),
    )


def _value(parameter: Node) -> str:
    return next((text(parameter, name) for name in parameter if name.startswith("value")), "")


class Examiner:
    """Answers $validate for one release."""

    def __init__(self, validator: Validator) -> None:
        self.definitions = validator.definitions
        self._structure = validator if validator.level == "structure" else Validator(validator.definitions)
        self._full = FullPass(validator.definitions)

    async def examine(self, request: ValidateRequest, find: Find) -> tuple[Issue, ...]:
        """Returns the issues of an OperationOutcome, at least one. `find`: looks up stored resources.

        Raises NotFound (no stored resource to validate), InvalidResource (no resource, an unknown mode or profile).
        """
        if request.mode not in ("", *ValidateRequest.MODES):
            raise InvalidResource(f"mode must be one of {', '.join(ValidateRequest.MODES)}", code="value")
        resource = request.resource or (await find(request.type, request.id) if request.id else None)
        if request.mode == "delete":
            return (_deletion(request, resource),)
        if resource is None:
            if request.id:
                raise NotFound("No resource to validate: none in the body, and none is stored under this id")
            raise InvalidResource(
                "No resource to validate: send one, bare or as the parameter `resource` of a Parameters resource",
                code="required",
            )
        if request.mode == "profile" and not request.profiles:
            raise InvalidResource("mode=profile needs a profile to check against", code="required")
        library = await collect(_profiles(request, resource), find, self.definitions)
        self._refuse_unknown(request.profiles, library)
        return await offload(self._issues, request, resource, library)

    def _issues(self, request: ValidateRequest, resource: JsonObject, library: Library) -> tuple[Issue, ...]:
        wrong = (*_mismatches(request, resource), *self._structure.issues(resource))
        if any(issue.severity == "error" for issue in wrong):
            return (
                *wrong,
                Issue.information("Invariants and profiles were not checked: correct the structure first"),
            )
        try:
            found = Findings(wrong) | call_within(MOST_CALLS, lambda: self._findings(request, resource, library))
        except TooManyCalls:
            found = Findings((*wrong, TOO_COSTLY))
        return _answer(found)

    def _findings(self, request: ValidateRequest, resource: JsonObject, library: Library) -> Findings:
        found = self._full.findings(resource)
        for profile in _profiles(request, resource):
            core = core_type(self.definitions, profile)
            if core and core not in self._bases(str(resource["resourceType"])):
                found |= Findings((Issue("structure", f"The profile is for {core}, which this resource is not"),))
            elif not core:
                found |= conformance(resource, profile, library, self._full.expressions)
        return found

    def _bases(self, type: str) -> Iterator[str]:
        while type in self.definitions.types:
            yield type
            type = self.definitions.types[type].base

    def _refuse_unknown(self, profiles: tuple[str, ...], library: Library) -> None:
        for canonical in profiles:
            if canonical not in library.profiles and not core_type(self.definitions, canonical):
                raise InvalidResource(
                    f"The profile {canonical} is not stored here. Store it as StructureDefinition/[id], where [id] is "
                    "the last segment of its canonical URL; its url (and the version after |) must be the same",
                    code="not-found",
                )


def _profiles(request: ValidateRequest, resource: JsonObject) -> tuple[str, ...]:
    """Returns the profiles that the request names and then those that the resource names."""
    return tuple(dict.fromkeys((*request.profiles, *texts(node_of(resource, "meta"), "profile"))))


def _mismatches(request: ValidateRequest, resource: JsonObject) -> Iterator[Issue]:
    """Yields what is wrong with the resource as the body of this request."""
    type_ = resource.get("resourceType")
    if isinstance(type_, str) and type_ != request.type:
        yield Issue("invalid", f"The resource is not a {request.type}, which the URL names", ("resourceType",))
    elif request.mode == "update" and (not resource.get("id") or request.id not in {"", resource.get("id")}):
        yield Issue(
            "invalid",
            "An update needs the resource's id in its body; it must be the id in the URL",
            (f"{request.type}.id",),
        )


def _answer(found: Findings) -> tuple[Issue, ...]:
    """Returns each issue once, "All OK" if there are no errors and warnings, and what was not checked."""
    issues = list(dict.fromkeys(found.issues))
    if all(issue.severity == "information" for issue in issues):
        issues.insert(0, Issue.information("All OK: no errors and no warnings"))
    unchecked = sorted(found.unchecked)
    issues += [Issue.information(f"Not checked: {what}") for what in unchecked[:_MOST_UNCHECKED]]
    if len(unchecked) > _MOST_UNCHECKED:
        issues.append(Issue.information(f"Not checked: {len(unchecked) - _MOST_UNCHECKED} more"))
    return tuple(issues)


def _deletion(request: ValidateRequest, resource: JsonObject | None) -> Issue:
    if not request.id:
        raise InvalidResource("mode=delete needs the id of a resource, in the URL", code="required")
    return Issue.information(
        "A delete would be accepted" if resource else "Nothing to delete: no such resource, or deleted already"
    )
