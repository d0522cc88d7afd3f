"""How far a walk of the sweeper through all runs, or all payloads, has come: the next pass goes on there.

| step | requests |
|---|---|
| begin | 1 GET; 1 PUT where the pass before stopped before the end |
| stop before the end | 1 PUT |
"""

from __future__ import annotations

import msgspec

from fhirstore.commit.messages import Absent, Get, Protocol, Put
from fhirstore.commit.reading import ask
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, Written


class _State(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the next pass goes on; None: at the beginning."""

    cursor: str | None = None


class Pass(msgspec.Struct, frozen=True):
    """A pass that begins. `cursor`: where it goes on, None: at the beginning; `date`: of the store, epoch ms."""

    cursor: str | None
    condition: Condition
    date: int


def begin_pass(key: str) -> Protocol[Pass]:
    """Reads where the pass before stopped.

    The stored cursor is taken away first, since a store may have forgotten it: then a later pass begins anew.
    """
    (reply,) = yield from ask(Get(key))
    if isinstance(reply, Absent):
        return Pass(None, IF_ABSENT, reply.date)
    cursor = _read(reply.body).cursor
    condition: Condition = IfMatch(reply.etag)
    if cursor is not None:
        condition = yield from _write(key, _State(), condition)
    return Pass(cursor, condition, reply.date)


def stop_pass(key: str, cursor: str | None, condition: Condition) -> Protocol[None]:
    """Stores where the next pass goes on. If another sweeper was faster, its word counts."""
    yield from _write(key, _State(cursor), condition)


def _read(body: bytes) -> _State:
    """Returns the state; an unreadable one only makes the pass begin anew."""
    try:
        return msgspec.json.decode(body, type=_State)
    except msgspec.MsgspecError:
        return _State()


def _write(key: str, state: _State, condition: Condition) -> Protocol[Condition]:
    """Returns the next condition."""
    (reply,) = yield (Put(key, msgspec.json.encode(state), condition),)
    return IfMatch(reply.etag) if isinstance(reply, Written) else condition
