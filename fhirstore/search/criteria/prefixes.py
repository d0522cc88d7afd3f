"""The prefixes of dates, numbers and quantities: how a resource's value compares with the one searched for.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")


def split_prefix(text: str) -> tuple[str, str]:
    """Returns the prefix, `eq` if there is none, and the rest. Raises ValueError for other letters, and for signs."""
    if text[:1] in ("<", ">", "="):
        raise ValueError("prefixes are letters, such as ge instead of >=")
    if not text[:2].isalpha():
        return "eq", text
    if text[:2] not in PREFIXES:
        raise ValueError(f"it begins with letters that are no prefix; there are {' '.join(PREFIXES)}")
    return text[:2], text[2:]
