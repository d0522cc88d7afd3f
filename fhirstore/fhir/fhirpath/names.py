"""Element names as steps of a FHIRPath expression. https://hl7.org/fhirpath/#identifiers"""

from __future__ import annotations

# Words that FHIRPath reads as operators and units unless they are quoted.
_RESERVED = frozenset({"div", "mod", "and", "or", "xor", "implies", "true", "false"}) | {
    unit + plural
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
}


def step(name: str) -> str:
    """Returns `name` as a step of an expression: quoted if FHIRPath needs it, like `div`."""
    return f"`{name}`" if name in _RESERVED else name
