"""JSON Pointer: parsing, and finding what it points at. https://www.rfc-editor.org/rfc/rfc6901"""

from __future__ import annotations

import re
from typing import TypeAlias

from fhirstore.errors import MalformedContent, PatchFailed
from fhirstore.fhir.definitions.facts import Definitions

Pointer: TypeAlias = tuple[str, ...]
"""The reference tokens, unescaped; empty for the whole document."""

_BAD_ESCAPE = re.compile(r"~(?![01])")
_ANY_RESOURCE = ("Resource", "DomainResource")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def parse_pointer(text: str) -> Pointer:
    """Returns the tokens of `/name/0/given`. Raises MalformedContent."""
    if not text:
        return ()
    if not text.startswith("/") or _BAD_ESCAPE.search(text):
        raise MalformedContent("not a JSON Pointer: it starts with / and escapes ~ as ~0, / as ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def index(reference: str, array: list[object], *, end: bool = False) -> int:
    """Returns the index that a token names; with `end` also the one after the last. Raises PatchFailed."""
    if end and reference == "-":
        return len(array)
    if not _INDEX.fullmatch(reference):
        raise PatchFailed("the path names no index of an array")
    at = int(reference)
    if at >= len(array) + end:
        raise PatchFailed(f"the path names index {at} of an array of {len(array)}")
    return at


def value_at(document: object, pointer: Pointer) -> object:
    """Returns the value at the pointer. Raises PatchFailed if there is none."""
    for depth, token in enumerate(pointer):
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[index(token, document)]
        else:
            raise PatchFailed(f"nothing is at the path, from its level {depth + 1} on")
    return document


def is_list(resource: object, path: Pointer, definitions: Definitions) -> bool:
    """Returns whether FHIR defines the member at `path` as repeating, even if it is absent. Its owner must be present.

    FHIR has no empty arrays, so a client cannot see whether an absent member is a list that it may append to
    (https://hl7.org/fhir/R4/json.html#resources). False for a member that the definitions do not have.
    """
    value, type_, repeats = resource, "Resource", False
    for token in path:
        if isinstance(value, list):
            value, repeats = value[int(token)], False
            continue
        if not isinstance(value, dict):
            return False
        if type_ in _ANY_RESOURCE:
            type_ = str(value.get("resourceType"))
        facts = definitions.types.get("Element" if type_ in definitions.primitives else type_)
        element = None if facts is None else facts.elements.get(token.removeprefix("_"))
        if element is None or (token.startswith("_") and element.type not in definitions.primitives):
            return False
        value, type_, repeats = value.get(token), element.type, element.repeats
    return repeats
