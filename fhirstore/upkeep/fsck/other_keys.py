"""Checks what is below the tenant's prefix and is neither resource nor event: stray keys, and the sweeper's state.

Cost: 1 GET + 3 LIST.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.limits import Limits
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord
from fhirstore.format.keyspace import Keyspace
from fhirstore.history.watermark import watermark_of
from fhirstore.jobs.state import State, decode_state
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

FOLDERS = (
    "resources",
    "history",
    "sweep",
    "audit",
    "auditlog",
    "access",
    "bulk",
    "identity",
    "tx",
    "runs",
    "binary",
    "index",
)
"""The folders of the format below a tenant's prefix."""

_LONGEST_LEASE = 3_600_000


@dataclass(frozen=True, slots=True)
class Sweeper:
    """The sweeper's state. `date`: the store's time when it was read; `watermark`: 0 where the state is not valid."""

    watermark: int
    date: int
    findings: tuple[Finding, ...]


def read_sweeper(keys: Keyspace, limits: Limits) -> Protocol[Sweeper]:
    """Read and check `sweep/state.json`. 1 GET. Raises Unavailable."""
    (reply,) = yield from ask(Get(keys.sweep_state))
    if isinstance(reply, Absent):
        return Sweeper(0, reply.date, ())
    try:
        detail = _wrong(decode_state(reply.body, keys.sweep_state), reply.date - limits.settled)
    except CorruptRecord:
        detail = "not readable"
    if detail is None:
        return Sweeper(watermark_of(decode_state(reply.body, keys.sweep_state)), reply.date, ())
    return Sweeper(0, reply.date, (Finding("sweep-state", keys.sweep_state, detail, repairable=True),))


def _wrong(state: State, settled: int) -> str | None:
    watermark = state.work.get("watermark", 0)
    if not isinstance(watermark, int) or watermark < 0:
        return "the watermark is no time"
    if watermark > settled:
        return "the watermark is ahead of what can be known"
    if state.expires > settled + _LONGEST_LEASE:
        return "the lease runs longer than any lease"
    return None


def stray_keys(keys: Keyspace) -> Protocol[list[Finding]]:
    """Returns findings for keys outside the folders of the format. Names with `_` at the root belong to no tenant."""
    findings: list[Finding] = []
    lost: list[str] = []
    prefix = keys.prefix
    known = {
        prefix: {f"{prefix}{name}/" for name in FOLDERS},
        f"{prefix}history/": {keys.history_types(), keys.system_history()},
        keys.sweep_state.rpartition("/")[0] + "/": {keys.sweep_state, keys.run_sweep_state, keys.payload_sweep_state},
    }
    for folder, expected in known.items():
        cursor: str | None = None
        while True:
            page = yield from listed_behind_damage(List(folder, cursor=cursor, delimiter=True), lost)
            names = [*page.prefixes, *(item.key for item in page.objects)]
            findings += [
                Finding("stray-key", name)
                for name in names
                if name not in expected and not (folder == "" and name.startswith("_"))
            ]
            cursor = page.cursor
            if cursor is None:
                break
    return findings + unreadable(lost)
