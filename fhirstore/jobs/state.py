"""The state of a job: a JSON object of a few known members, and the members of the job itself.

`{"status":"running","epoch":3,"owner":"01K…","expires":1763611897123,"attempts":1, …}`

| member | meaning |
|---|---|
| `status` | waiting, running; ended: completed, failed; on its way out: cancelled, removing |
| `epoch` | how often it was claimed; an owner with an older epoch is a zombie |
| `owner` | who holds the lease; null if nobody does |
| `expires` | epoch ms on the store's clock, see below |
| `attempts` | claims since the last checkpoint with work; so a job that dies each time can be failed |

`expires` is, while running, when the lease ends unless it is renewed; while waiting, the time up to which nobody may
claim the job (0: at once); once cancelled or removing, the time up to which a late request of the job may still arrive.

`TABLE` is the whole state machine: a transition that is not in it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from fhirstore.errors import CorruptRecord

WAITING, RUNNING, COMPLETED, FAILED = "waiting", "running", "completed", "failed"
CANCELLED, REMOVING = "cancelled", "removing"
STATUSES = (WAITING, RUNNING, COMPLETED, FAILED, CANCELLED, REMOVING)

LIVE = (WAITING, RUNNING)
"""A worker works on the job, or will."""

GOING = (CANCELLED, REMOVING)
"""Nobody may see the job any more; its objects are being removed."""

CLAIM, RENEW, RELEASE, RETRY, WAKE = "claim", "renew", "release", "retry", "wake"
COMPLETE, FAIL, CANCEL, REMOVE = "complete", "fail", "cancel", "remove"
EVENTS = (CLAIM, RENEW, RELEASE, RETRY, WAKE, COMPLETE, FAIL, CANCEL, REMOVE)

TABLE: Mapping[tuple[str, str], str] = {
    (WAITING, CLAIM): RUNNING,  # only once `expires` has passed
    (WAITING, WAKE): WAITING,
    (WAITING, CANCEL): CANCELLED,
    (RUNNING, CLAIM): RUNNING,  # only once the lease has expired
    (RUNNING, RENEW): RUNNING,
    (RUNNING, RELEASE): WAITING,  # handed back: this attempt does not count
    (RUNNING, RETRY): WAITING,  # the attempt failed
    (RUNNING, COMPLETE): COMPLETED,
    (RUNNING, FAIL): FAILED,
    (RUNNING, CANCEL): CANCELLED,
    (COMPLETED, REMOVE): REMOVING,
    (FAILED, REMOVE): REMOVING,
}
"""(status, event) → status. Of complete and cancel exactly one succeeds, because each is a compare-and-set."""


class _Lease(msgspec.Struct, frozen=True):
    status: str
    epoch: int
    owner: str | None
    expires: int
    attempts: int


@dataclass(frozen=True, slots=True)
class State:
    """A job's state. `work`: the job's own members, plain JSON values."""

    status: str = WAITING
    epoch: int = 0
    owner: str | None = None
    expires: int = 0
    attempts: int = 0
    work: Mapping[str, object] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Returns the object's body."""
        lease = _Lease(self.status, self.epoch, self.owner, self.expires, self.attempts)
        return msgspec.json.encode({**msgspec.structs.asdict(lease), **self.work})


def decode_state(body: bytes, key: str) -> State:
    """Reads a state. Raises CorruptRecord, naming `key`, when the body is not one."""
    try:
        lease = msgspec.json.decode(body, type=_Lease)
        members = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.MsgspecError as error:
        raise CorruptRecord(key) from error
    if lease.status not in STATUSES:
        raise CorruptRecord(key)
    work = {name: value for name, value in members.items() if name not in _Lease.__struct_fields__}
    return State(lease.status, lease.epoch, lease.owner, lease.expires, lease.attempts, work)


def after(state: State, event: str, *, work: Mapping[str, object] | None = None, until: int = 0) -> State | None:
    """Returns the state after an event that leaves no owner; None if the table has no such transition.

    `until`: what `expires` means in the new status, epoch ms. `work` None keeps the work.
    """
    status = TABLE.get((state.status, event))
    if status is None:
        return None
    attempts = max(0, state.attempts - 1) if event == RELEASE else state.attempts
    kept = state.work if work is None else work
    return replace(state, status=status, owner=None, expires=until, attempts=attempts, work=kept)


def outgoing(state: State, *, now: int, settled: int) -> State | None:
    """Returns the state of a job that goes: cancelled if it was live, removing if it had ended; None if it goes now.

    `settled`: ms in which a late request of its creation can still arrive. Its owner may write until its lease ends.
    """
    quiet = max(now + settled, state.expires if state.status == RUNNING else 0)
    return after(state, CANCEL if state.status in LIVE else REMOVE, until=quiet)


def claimed(state: State, owner: str, *, now: int, length: int) -> State | None:
    """Returns the state once `owner` has claimed it for `length` ms; None if it is held, must wait, or is over."""
    status = TABLE.get((state.status, CLAIM))
    if status is None or now <= state.expires:
        return None
    return replace(
        state,
        status=status,
        epoch=state.epoch + 1,
        owner=owner,
        expires=now + length,
        attempts=state.attempts + 1,
    )


def renewed(state: State, *, now: int, length: int, work: Mapping[str, object] | None = None) -> State | None:
    """Returns the state with a renewed lease. `work`: what was done so far; it resets the count of attempts."""
    if (state.status, RENEW) not in TABLE:
        return None
    longer = replace(state, expires=now + length)
    return longer if work is None else replace(longer, work=work, attempts=0)
