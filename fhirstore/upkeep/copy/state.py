"""The state of a copy, `_copy/{tenant}.json` in the target, and its phases.

| phase | meaning |
|---|---|
| walking | resources are being copied for the first time; `cursor` says how far the listing of the source is done |
| following | all that was committed before `mark` is there |
| complete | the target has all that the source had |

`TABLE` is the whole state machine: a transition that is not in it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.errors import CorruptRecord

WALKING, FOLLOWING, COMPLETE = "walking", "following", "complete"
PHASES = (WALKING, FOLLOWING, COMPLETE)

WALKED, AGAIN, QUIET, DIFFERS = "walked", "again", "quiet", "differs"
EVENTS = (WALKED, AGAIN, QUIET, DIFFERS)

TABLE: Mapping[tuple[str, str], str] = {
    (WALKING, AGAIN): WALKING,
    (WALKING, WALKED): FOLLOWING,
    (FOLLOWING, AGAIN): FOLLOWING,
    (FOLLOWING, QUIET): COMPLETE,
    (FOLLOWING, DIFFERS): WALKING,  # the verification found something else: all is written again
    (COMPLETE, AGAIN): FOLLOWING,
}
"""(phase, event) → phase. `again`: a run begins; `walked`, `quiet`: its walk, or its last pass, is done."""


class CopyState(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a copy is. Times are epoch ms.

    `source`: the location that was given. `mark`: see above; during the walk, the mark that will hold after it. `upto`:
    the newest version that was copied. `first`, `newest`: keys of events below the tenant's prefix, by which the source
    is known again. `failed`: resources that could not be read, like `Patient/1`. `whole`: the walk writes even what is
    there already. `audited`: the audit lines before `mark` are there.
    """

    source: str
    phase: str = WALKING
    cursor: str | None = None
    mark: int = 0
    upto: int = 0
    first: str = ""
    newest: str = ""
    failed: tuple[str, ...] = ()
    whole: bool = False
    audited: bool = False

    def after(self, event: str) -> CopyState:
        """Returns the state in the next phase. Raises ValueError where the table has no such transition."""
        phase = TABLE.get((self.phase, event))
        if phase is None:
            raise ValueError(f"a copy that is {self.phase} cannot be {event}")
        walk = {"cursor": None, "whole": event == DIFFERS} if event in (WALKED, DIFFERS) else {}
        return msgspec.structs.replace(self, phase=phase, **walk)

    def as_work(self) -> Mapping[str, object]:
        """Returns the members of the lease's state (`fhirstore.jobs.state`)."""
        return {"copy": msgspec.to_builtins(self)}


def state_of(work: Mapping[str, object], key: str) -> CopyState | None:
    """Returns the state in the work of a lease; None where there is none yet. Raises CorruptRecord, naming `key`."""
    if "copy" not in work:
        return None
    try:
        state = msgspec.convert(work["copy"], CopyState)
    except msgspec.ValidationError as error:
        raise CorruptRecord(key) from error
    if state.phase not in PHASES:
        raise CorruptRecord(key)
    return state
