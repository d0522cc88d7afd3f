"""Cursors: where the next page starts. Opaque to clients (`fhirstore.paging`).

A cursor holds positions within the history that the URL names, and hints that make the next page cheap. It names no
tenant, type or id, so a forged cursor can only read other pages of the same history.
"""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from fhirstore import paging
from fhirstore.errors import InvalidResource

_POSITION = r"\A(?:[0-9]{13}(?:_[A-Za-z0-9._-]{1,250})?)?\Z"
_NAME = r"\A[0-9]{13}_[A-Za-z0-9._-]{1,250}\Z"
_NAME_OR_NONE = r"\A(?:[0-9]{13}_[A-Za-z0-9._-]{1,250})?\Z"
_IS_NAME = re.compile(_NAME).match


def is_name(name: str) -> bool:
    """Does this have the form of an event's name, below the prefix of its history?"""
    return _IS_NAME(name) is not None


Position = Annotated[str, msgspec.Meta(pattern=_POSITION)]
"""A position in the order of events: an event's name, a time of 13 digits (before all events of that ms), or ""."""

_Ms = Annotated[int, msgspec.Meta(ge=0, lt=10**13)]
_VersionId = Annotated[int, msgspec.Meta(ge=1, lt=10**18)]


class Outlook(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What earlier LISTs showed: `known` events follow `start`; elsewhere there was one event per `pace` ms.

    `reach`: a LIST from an earlier position was cut off there. `tried`: the next guess ahead of it (`bracket`).
    """

    start: Position
    known: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    pace: Annotated[float, msgspec.Meta(gt=0, lt=1e13)]
    reach: Position = ""
    tried: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


class InstanceCursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="i"):
    """One resource: the next page starts with `version`, and the last page ends with `until`.

    `total`: of all pages, as on the first page; None if it was not told. `top`: the first version of the first page;
    0 if it is not known.
    """

    version: _VersionId
    until: _VersionId
    as_of: _Ms
    total: Annotated[int, msgspec.Meta(ge=0, lt=10**18)] | None = None
    top: Annotated[int, msgspec.Meta(ge=0, lt=10**18)] = 0


class EventsCursor(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag="e"):
    """A type or a tenant: the page starts after the event `name`, the last one of the page before.

    `before`: the `name` of some pages before, for links back. `last`: the event with which this page must end, if it is
    a page that was shown before; "" if it ends where it is full.
    """

    name: Annotated[str, msgspec.Meta(pattern=_NAME)]
    as_of: _Ms
    outlook: Outlook | None = None
    before: tuple[Annotated[str, msgspec.Meta(pattern=_NAME)], ...] = ()
    last: Annotated[str, msgspec.Meta(pattern=_NAME_OR_NONE)] = ""


INSTANCE = msgspec.json.Decoder(InstanceCursor)
EVENTS = msgspec.json.Decoder(EventsCursor)
LONGEST = 4096
"""The limit of a cursor's text, in characters."""
_MOST_BEFORE = 600  # characters of names in a cursor


def the_last(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns as many of the last `names` as fit into a cursor."""
    room = _MOST_BEFORE
    for at in range(len(names), 0, -1):
        room -= len(names[at - 1])
        if room < 0:
            return names[at:]
    return names


_Cursor = TypeVar("_Cursor", InstanceCursor, EventsCursor)


def decode(text: str | None, kind: msgspec.json.Decoder[_Cursor]) -> _Cursor | None:
    """Reads a cursor; None for None. Raises InvalidResource when it is not a cursor of this kind."""
    if text is None:
        return None
    try:
        return paging.decode(text, kind, longest=LONGEST)
    except ValueError as error:
        raise InvalidResource(
            "The cursor is not one that this history gave out; start again without it", code="value"
        ) from error
