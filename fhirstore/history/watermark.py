"""The sweeper's watermark: up to this time, the sweeper has checked that every event belongs to a committed version.

It is kept in the state of the sweeper's job. A history trusts the events below it without reading `current.json`.
"""

from __future__ import annotations

from fhirstore.commit.messages import Absent, Get, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace
from fhirstore.jobs.state import State, decode_state

WATERMARK = "watermark"
"""The member of the sweeper's state that holds it, epoch ms."""


def read_watermark(keys: Keyspace) -> Protocol[int]:
    """Returns the watermark, epoch ms; 0 if there is none. 1 GET. Raises Unavailable."""
    (reply,) = yield from ask(Get(keys.sweep_state))
    if isinstance(reply, Absent):
        return 0
    try:
        return watermark_of(decode_state(reply.body, keys.sweep_state))
    except CorruptRecord:
        return 0


def watermark_of(state: State) -> int:
    """Returns the watermark in a sweeper's state, epoch ms; 0 if there is none."""
    value = state.work.get(WATERMARK)
    return value if isinstance(value, int) else 0
