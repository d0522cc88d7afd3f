"""What a client is told, as text that can be compared: answers and errors, without ids and times."""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable
from dataclasses import fields, is_dataclass

import msgspec

from fhirstore import BundleResult, FhirStoreError, HistoryPage, SearchPage, Version

_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_MS = re.compile(r"(?<![0-9])[0-9]{13}(?![0-9])")
_CRITERIA = frozenset({"criteria", "request", "entry", "as_of", "last_updated_ms", "view"})


class Telling:
    """Writes answers down. Ids that the server gave are numbered in the order in which they appear."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}

    async def told(self, asking: Awaitable[object]) -> str:
        """Returns the answer, or the error, that the client gets."""
        try:
            return self._plain(await asking)
        except FhirStoreError as error:
            issues = getattr(error, "issues", ())
            return self._plain((type(error).__name__, str(error), issues, getattr(error, "current", None)))

    def _plain(self, answer: object) -> str:
        text = _INSTANT.sub("<time>", repr(_values(answer)))
        return _ULID.sub(self._number, _MS.sub("<ms>", text))

    def _number(self, found: re.Match[str]) -> str:
        return self._ids.setdefault(found[0], f"<id {len(self._ids)}>")


def _values(answer: object) -> object:
    """Returns what a client could look at, cursors opened."""
    if isinstance(answer, Version):
        return tuple(
            (name, getattr(answer, name)) for name in answer.__struct_fields__ if name not in ("last_updated_ms",)
        )
    if isinstance(answer, SearchPage):
        shown, along = ([_values(one) for one in some] for some in (answer.matches, answer.included))
        following = (_without_moment(one) for one in (answer.next, answer.previous))
        return shown, along, answer.total, answer.outcomes, *following
    if isinstance(answer, HistoryPage):
        return [_values(one) for one in answer.versions], answer.total, _opened(answer.next), _opened(answer.previous)
    if isinstance(answer, BundleResult):
        return [_values(one) for one in answer.results]
    if isinstance(answer, FhirStoreError):
        return type(answer).__name__, str(answer), getattr(answer, "issues", ())
    if is_dataclass(answer) and not isinstance(answer, type):
        return [(one.name, _values(getattr(answer, one.name))) for one in fields(answer) if one.name not in _CRITERIA]
    if isinstance(answer, tuple | list):
        return [_values(one) for one in answer]
    return answer


def _without_moment(cursor: str | None) -> object:
    """Returns the content of a search's cursor without what names its moment: the index file, the number of batches
    that it has applied, and the times in the keys and the number of the last match."""
    content = _opened(cursor)
    if not isinstance(content, list):
        return content
    return [one for one in content if isinstance(one, list | bool) or one is None or content.index(one) == 3]


def _opened(cursor: str | None) -> object:
    """Returns the content of a cursor, and of the cursor in it: a client can read it, though it should not."""
    if cursor is None:
        return None
    try:
        content = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, msgspec.MsgspecError):
        return cursor
    return [_opened(one) if isinstance(one, str) and len(one) > 40 else one for one in content]
