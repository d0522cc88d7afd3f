"""The URLs of attachments, made absolute: a file of an export has no base that a relative one could be resolved with.

https://hl7.org/fhir/uv/bulkdata/export.html#attachments
"""

from __future__ import annotations

import re

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject

_RELATIVE = re.compile(rb'"url":"(?![A-Za-z][A-Za-z0-9+.-]*:|[#"])')
_DEPTH = 64
_ANY = frozenset({"Resource", "DomainResource"})


def may_be_relative(content: bytes) -> bool:
    """Returns whether there may be a relative URL in a resource, of an attachment or of something else."""
    return _RELATIVE.search(content) is not None


def make_absolute(resource: JsonObject, definitions: Definitions, base: str) -> bool:
    """Puts `base` before the relative URLs of attachments without data, in place. Returns whether there were any."""
    return _walk(resource, str(resource.get("resourceType")), definitions, base, _DEPTH)


def _walk(value: JsonObject, type: str, definitions: Definitions, base: str, depth: int) -> bool:
    known = definitions.types.get(type)
    if known is None or not depth:
        return False
    changed = False
    if type == "Attachment":
        url = value.get("url")
        if isinstance(url, str) and url and "data" not in value and _RELATIVE.match(f'"url":"{url}"'.encode()):
            value["url"] = f"{base}/{url.removeprefix('/')}"
            changed = True
    for name, member in value.items():
        element = known.elements.get(name)
        if element is None:
            continue
        for item in member if isinstance(member, list) else [member]:
            if isinstance(item, dict):
                of = str(item.get("resourceType")) if element.type in _ANY else element.type
                changed |= _walk(item, of, definitions, base, depth - 1)
    return changed
