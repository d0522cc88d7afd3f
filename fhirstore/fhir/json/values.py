"""What a parsed body consists of, and which names may be repeated in a message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, object]
"""A parsed object. Values are `JsonObject`, list, str, bool, None, int or `NumberLiteral`, never float."""

NumberLiteral = msgspec.Raw
"""A number as it was written: `bytes(literal)` is its text. Equal bytes compare equal; it cannot be hashed."""

LONG_INTEGER = 4000
"""An integer of as many characters is a literal; msgspec gives up at 4,300."""

_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def is_element_name(name: str) -> bool:
    """Whether `name` looks like that of a FHIR element and is worth saying; anything else may be somebody's data."""
    return bool(_ELEMENT_NAME.fullmatch(name))


def type_name(resource: Mapping[str, object]) -> str:
    """Where an expression about this resource starts: `Patient`, or `Resource` if it has no type."""
    name = resource.get("resourceType")
    return name if isinstance(name, str) and is_element_name(name) else "Resource"


def dismantle(document: JsonObject) -> None:
    """Empty the long arrays of a document that is not needed any more, little by little.

    To free a million values in one go lets no other thread go on meanwhile.
    """
    for item in document.values():
        while isinstance(item, list) and item:
            del item[-1_000:]
