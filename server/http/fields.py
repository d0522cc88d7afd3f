"""The grammar that HTTP header fields share: lists, parameters, quality values, entity tags.

https://www.rfc-editor.org/rfc/rfc9110#section-5.6
"""

from __future__ import annotations

import re

_ITEM = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*+"?)++')
_PART = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*+"?)++')
_QUALITY = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def etag(version_id: int) -> str:
    """Returns the entity tag of a version (https://hl7.org/fhir/R4/http.html#versioning)."""
    return f'W/"{version_id}"'


def listed(text: str) -> list[str]:
    """Returns the items of a list that is separated by commas outside of quotes; without empty ones."""
    return [item.strip() for item in _ITEM.findall(text) if item.strip()]


def parameters(item: str) -> tuple[str, dict[str, str]]:
    """Splits `text/json; charset="utf-8"` into its value and its parameters: names in lower case, without quotes."""
    value, *parts = [part.strip() for part in _PART.findall(item)] or [""]
    pairs = (part.partition("=") for part in parts if part)
    return value, {name.strip().lower(): _unquoted(text.strip()) for name, _, text in pairs}


def quality(given: dict[str, str]) -> float:
    """Returns the `q` among parameters, 1 if there is none; 0, which is never chosen, if it is malformed."""
    text = given.get("q")
    if text is None:
        return 1.0
    return float(text) if _QUALITY.fullmatch(text) else 0.0


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
