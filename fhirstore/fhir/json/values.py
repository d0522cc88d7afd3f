"""The types that a parsed JSON body consists of, and which member names a message may repeat."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import msgspec

JsonObject: TypeAlias = dict[str, object]
"""A parsed object. Its values are `JsonObject`, list, str, bool, None, int or `NumberLiteral`, never float."""

NumberLiteral = msgspec.Raw
"""A number as it was written: `bytes(literal)` is its text. Literals of equal bytes are equal; they cannot be
hashed.
"""

LONG_INTEGER = 4000
"""An integer of this many characters or more is kept as a literal; msgspec refuses integers of 4,300 digits."""

_ELEMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def is_element_name(name: str) -> bool:
    """Returns whether `name` looks like the name of a FHIR element. Any other name may be patient data and is not
    repeated.
    """
    return bool(_ELEMENT_NAME.fullmatch(name))


def type_name(resource: Mapping[str, object]) -> str:
    """Returns the start of an expression about this resource: its type, or `Resource` if it has none."""
    name = resource.get("resourceType")
    return name if isinstance(name, str) and is_element_name(name) else "Resource"


def dismantle(document: JsonObject) -> None:
    """Empties the long arrays of a document that is no longer needed, a thousand items at a time.

    Freeing a million values at once would block all other threads for that time.
    """
    for item in document.values():
        while isinstance(item, list) and item:
            del item[-1_000:]
