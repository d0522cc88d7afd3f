"""Validates the Bundle and its entries without their resources, which are validated when they are written.

A misspelt member (`entries`, `Entry`, an entry's `Resource`) would be ignored otherwise, and what the client wants to
store with it. So the names of members are checked even without validation (`off`).

In a batch, an error in an entry is the response to that entry; an error elsewhere refuses the Bundle.
https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fhirstore.bundles.entries import Entry
from fhirstore.errors import FhirError, InvalidResource, Issue, RulesBroken
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import JsonObject, is_element_name
from fhirstore.fhir.validation import Validator

_BUNDLE, _ENTRY, _REQUEST = "Bundle", "Bundle.entry", "Bundle.entry.request"
_INDEX = re.compile(r"Bundle\.entry\[([0-9]+)\]")


def check_bundle(bundle: JsonObject, validator: Validator) -> None:
    """Validates all members of the Bundle but its entries. Raises InvalidResource, RulesBroken."""
    if validator.level == "off":
        _refuse_unknown(bundle, _BUNDLE, _BUNDLE, validator)
    validator.check_part(bundle, _BUNDLE, _BUNDLE, apart="entry")


def checked(
    parsed: Sequence[Entry | FhirError], entries: Sequence[object], validator: Validator
) -> list[Entry | FhirError]:
    """Returns the entries, each replaced by its error if it is invalid, apart from its resource."""
    return [
        one if isinstance(one, FhirError) else _wrong(entry, index, validator) or one
        for index, (one, entry) in enumerate(zip(parsed, entries, strict=True))
    ]


def fully_checked(
    parsed: Sequence[Entry | FhirError], bundle: JsonObject, entries: Sequence[object], validator: Validator
) -> list[Entry | FhirError]:
    """Does the same for the invariants, which full validation adds. Raises RulesBroken for those of the Bundle."""
    seen: set[object] = set()
    bare: list[JsonObject] = []
    for entry in entries:
        members = {name: value for name, value in _members(entry).items() if name != "resource"}
        url = members.get("fullUrl")
        if isinstance(url, str) and url in seen:  # a fullUrl may recur with another version of its resource
            del members["fullUrl"]
        seen.add(url if isinstance(url, str) else None)
        bare.append(members)
    judged = {**bundle, "entry": bare} if bare else {name: bundle[name] for name in bundle if name != "entry"}
    if any(isinstance(one, FhirError) for one in parsed):  # invariants need a valid structure
        return list(parsed)
    by_entry: dict[int | None, list[Issue]] = {}
    for issue in validator.issues(judged):
        if issue.severity in ("error", "fatal"):
            found = _INDEX.match(issue.expression[0]) if issue.expression else None
            by_entry.setdefault(int(found[1]) if found else None, []).append(issue)
    if None in by_entry:
        raise RulesBroken(tuple(by_entry[None]))
    return [RulesBroken(tuple(by_entry[n])) if n in by_entry else one for n, one in enumerate(parsed)]


def _wrong(entry: object, index: int, validator: Validator) -> FhirError | None:
    members, place = _members(entry), f"{_ENTRY}[{index}]"
    try:
        if members.get("resource", members) is None:
            raise InvalidResource(
                "The resource is null; leave it out", code="structure", expression=(f"{place}.resource",)
            )
        if validator.level == "off":
            _refuse_unknown(members, _ENTRY, place, validator)
            _refuse_unknown(_members(members.get("request")), _REQUEST, f"{place}.request", validator)
        else:
            validator.check_part(members, _ENTRY, place, apart="resource")
    except FhirError as error:
        return error
    return None


def _refuse_unknown(members: Mapping[str, object], type: str, place: str, validator: Validator) -> None:
    """Raises InvalidResource for a member that is not an element of the type."""
    definitions = validator.definitions
    elements = definitions.types[type].elements
    for name in members:
        element = elements.get(name.removeprefix("_"))
        known = element is not None and (not name.startswith("_") or element.type in definitions.primitives)
        if not known and (name != "resourceType" or type != _BUNDLE):
            shown, where = (name, f"{place}.{step(name)}") if is_element_name(name) else ("A member", place)
            raise InvalidResource(f"{shown} is not an element of {type}", code="structure", expression=(where,))


def _members(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}
