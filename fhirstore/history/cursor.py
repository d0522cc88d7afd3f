"""Cursors: where the next page starts. Opaque to clients (`opaque`).

A cursor holds places within the history that the URL names, and hints that make the next page cheap. It names no
tenant, type or id, so a forged one reads nothing but other pages of the same history.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from fhirstore import paging as opaque
from fhirstore.errors import InvalidResource

_POSITION = r"\A(?:[0-9]{13}(?:_[A-Za-z0-9._-]{1,250})?)?\Z"
_NAME = r"\A[0-9]{13}_[A-Za-z0-9._-]{1,250}\Z"
_NAME_OR_NONE = r"\A(?:[0-9]{13}_[A-Za-z0-9._-]{1,250})?\Z"
_IS_NAME = re.compile(_NAME).match


def is_name(name: str) -> bool:
    """Can this be an event's name, below the prefix of its history?"""
    return _IS_NAME(name) is not None


Position = Annotated[str, msgspec.Meta(pattern=_POSITION)]
"""A place in the order of events: a whole event's name, a time of 13 digits (before all events of that ms), or ""."""

_Ms = Annotated[int, msgspec.Meta(ge=0, lt=10**13)]
_VersionId = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]


class Outlook(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What LISTs taught for the next ones: `known` events follow `start`; elsewhere there was one event per `pace` ms.

    `reach`: a LIST from earlier was cut off there; `tried`: which place ahead of it is next.
    """

    start: Position
    known: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    pace: Annotated[float, msgspec.Meta(gt=0, lt=1e13)]
    reach: Position = ""
    tried: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


class InstanceCursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="i"):
    """One resource: the next page starts with `version` and the last one ends with `until`.

    `total`: of all pages, as the first one told it; None where it did not. `top`: what the first page starts with; 0
    where that is not known.
    """

    version: _VersionId
    until: _VersionId
    as_of: _Ms
    total: Annotated[int, msgspec.Meta(ge=0, lt=10**18)] | None = None
    top: Annotated[int, msgspec.Meta(ge=0, lt=10**18)] = 0


class EventsCursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="e"):
    """A type or a tenant: the page goes on from the event `name`, which was on the one before.

    `before`: the same of the pages before, the last few. `last`: the page ends with this event, as it is one that was
    shown before; "": where it is full.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    as_of: _Ms
    outlook: Outlook | None = None
    before: tuple[Annotated[str, msgspec.Meta(pattern=_NAME)], ...] = ()
    last: Annotated[str, msgspec.Meta(pattern=_NAME_OR_NONE)] = ""


INSTANCE = msgspec.json.Decoder(InstanceCursor)
EVENTS = msgspec.json.Decoder(EventsCursor)
LONGEST = 4096
"""Characters of a cursor as text."""
_MOST_BEFORE = 600  # characters of names in a cursor


def the_last(names: tuple[str, ...]) -> tuple[str, ...]:
    """As many of the last `names` as a cursor has room for."""
    room = _MOST_BEFORE
    for at in range(len(names), 0, -1):
        room -= len(names[at - 1])
        if room < 0:
            return names[at:]
    return names


_Cursor = TypeVar("_Cursor", InstanceCursor, EventsCursor)


def decode(text: str | None, kind: msgspec.json.Decoder[_Cursor]) -> _Cursor | None:
    """Read a cursor back; None for none. Raises InvalidResource when it is not one of this kind."""
    if text is None:
        return None
    try:
        return opaque.decode(text, kind, longest=LONGEST)
    except ValueError as error:
        raise InvalidResource(
            "The cursor is not one that this history gave out; start again without it", code="value"
        ) from error
