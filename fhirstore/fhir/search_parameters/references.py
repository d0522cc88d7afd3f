"""What a reference says about its target without a look at the target.

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
    """The text of a Reference (its `reference`), or of a uri; empty if there is none."""
    text = reference.get("reference") if isinstance(reference, dict) else reference
    return text if isinstance(text, str) else ""


def target(text: str) -> tuple[str, str, str] | None:
    """Base URL (empty: this server's own), type and id of `Patient/p`, `https://…/Patient/p/_history/2`; else None."""
    match = _LITERAL.fullmatch(text)
    return (match["base"] or "", match["type"], match["id"]) if match else None


def target_type(reference: object, root: JsonObject, otherwise: str = "") -> str:
    """The resource type a reference points at, empty if nothing tells.

    Told by a literal reference, by what is contained in `root` for `#id`, by Reference.type; else it is `otherwise`,
    which is what the definition allows when it allows one type only.
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
