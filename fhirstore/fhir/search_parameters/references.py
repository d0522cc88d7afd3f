"""What a reference says about its target, without reading the target.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re

from fhirstore.fhir.json import JsonObject

_LITERAL = re.compile(
    r"(?P<base>https?://[^\s?#]*/)?(?P<type>[A-Z][A-Za-z]*)/(?P<id>[A-Za-z0-9.-]{1,64})"
    r"(?:/_history/[A-Za-z0-9.-]{1,64})?(?:[#|].*)?",
    re.DOTALL,
)


def literal(reference: object) -> str:
    """Returns the text of a Reference (its `reference`) or of a uri; empty if there is none."""
    text = reference.get("reference") if isinstance(reference, dict) else reference
    return text if isinstance(text, str) else ""


def target(text: str) -> tuple[str, str, str] | None:
    """Returns base URL (empty: this server's), type and id of `Patient/p` or `https://…/Patient/p/_history/2`;
    otherwise None.
    """
    match = _LITERAL.fullmatch(text)
    return (match["base"] or "", match["type"], match["id"]) if match else None


def target_type(reference: object, root: JsonObject, otherwise: str = "") -> str:
    """Returns the resource type that a reference points at, or an empty string if it is not known.

    Sources, in this order: a literal reference, the contained resource in `root` for `#id`, Reference.type, and
    `otherwise`, which is the only type that the definition allows, if there is only one.
    """
    text = literal(reference)
    if text.startswith("#"):
        return _contained_type(text[1:], root)
    if text and (found := target(text)):
        return found[1]
    type_ = reference.get("type") if isinstance(reference, dict) else None
    return type_ if isinstance(type_, str) else otherwise


def _contained_type(id: str, root: JsonObject) -> str:
    if not id:
        return _type(root)
    contained = root.get("contained")
    if isinstance(contained, list):
        for resource in contained:
            if isinstance(resource, dict) and resource.get("id") == id:
                return _type(resource)
    return ""


def _type(resource: JsonObject) -> str:
    type_ = resource.get("resourceType")
    return type_ if isinstance(type_, str) else ""
