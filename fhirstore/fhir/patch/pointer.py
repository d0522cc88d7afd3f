"""JSON Pointer: https://www.rfc-editor.org/rfc/rfc6901."""

from __future__ import annotations

import re
from typing import TypeAlias

from fhirstore.errors import MalformedContent, PatchFailed

Pointer: TypeAlias = tuple[str, ...]
"""The reference tokens, unescaped; none for the whole document."""

_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def parse_pointer(text: str) -> Pointer:
    """`/name/0/given` in tokens. Raises MalformedContent."""
    if not text:
        return ()
    if not text.startswith("/") or _BAD_ESCAPE.search(text):
        raise MalformedContent("not a JSON Pointer: it starts with / and escapes ~ as ~0, / as ~1")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def index(reference: str, array: list[object], *, end: bool = False) -> int:
    """The index that a reference token names; with `end` also the one after the last. Raises PatchFailed."""
    if end and reference == "-":
        return len(array)
    if not _INDEX.fullmatch(reference):
        raise PatchFailed("the path names no index of an array")
    at = int(reference)
    if at >= len(array) + end:
        raise PatchFailed(f"the path names index {at} of an array of {len(array)}")
    return at


def value_at(document: object, pointer: Pointer) -> object:
    """What is there. Raises PatchFailed when nothing is."""
    for depth, token in enumerate(pointer):
        if isinstance(document, dict) and token in document:
            document = document[token]
        elif isinstance(document, list):
            document = document[index(token, document)]
        else:
            raise PatchFailed(f"nothing is at the path, from its level {depth + 1} on")
    return document
