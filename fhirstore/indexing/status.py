"""How an index is, as operators and searches that wait are told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from fhirstore.errors import Unavailable
from fhirstore.index.local.apply import IndexDamaged
from fhirstore.index.local.facts import IndexFacts, facts_at
from fhirstore.index.local.noted import READY
from fhirstore.index.local.placing import why_aside


class IndexBehind(Unavailable):
    """Retry later: the search index is being built, or has more to catch up with than a search waits for."""


ABSENT, DAMAGED, UNUSABLE = "absent", "damaged", "unusable"


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """`state`: absent, building, ready, damaged or unusable (its disk does not work, for instance). `size`: bytes.
    `watermark`, `complete`: epoch ms, see `lag`.

    `lag`: seconds since the last moment of which the index surely has all that was acknowledged; a strong search makes
    it 0. `queued`: versions of this process that are not applied yet. `leads`: this process looks after the file.
    `seq`, `oldest`: sequence numbers; pages can be as of those between. `problem`: what hinders it. `aside`: when and
    why the file was set aside that is kept beside it.
    """

    path: str
    state: str
    resources: int = 0
    size: int = 0
    watermark: int = 0
    complete: int = 0
    lag: float | None = None
    queued: int = 0
    leads: bool = False
    seq: int = 0
    oldest: int = 0
    uuid: str = ""
    problem: str | None = None
    aside: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether searches can be answered, and nothing hinders it."""
        return self.problem is None and (self.state == READY or self.complete > 0)

    @property
    def is_hindered(self) -> bool:
        """Whether this process cannot answer searches by it now: it is being built here, or something is wrong."""
        return self.problem is not None or (self.leads and not self.is_ready)

    def as_json(self) -> dict[str, object]:
        """The status as plain JSON values."""
        return asdict(self)


def _status_of(
    path: Path, facts: IndexFacts, *, now: int, queued: int, leads: bool, problem: str | None
) -> IndexStatus:
    """Returns the status of an index file. `now`: epoch ms."""
    return IndexStatus(
        str(path),
        facts.state,
        facts.resources,
        facts.size,
        facts.watermark,
        facts.complete,
        max(0, now - facts.complete) / 1000 if facts.complete else None,
        queued,
        leads,
        facts.seq,
        facts.oldest,
        facts.uuid,
        problem,
    )


def status_at(path: Path, *, now: int, queued: int, leads: bool, problem: str | None) -> IndexStatus:
    """Returns how the index file at a path is, without making one. Blocks."""
    facts, state = None, ABSENT
    try:
        facts = facts_at(path)
    except (IndexDamaged, Unavailable) as error:
        state, problem = DAMAGED if isinstance(error, IndexDamaged) else UNUSABLE, str(error)
    if facts is None:
        found = IndexStatus(str(path), state, queued=queued, leads=leads, problem=problem)
    else:
        found = _status_of(path, facts, now=now, queued=queued, leads=leads, problem=problem)
    return replace(found, aside=why_aside(path))


def told(status: IndexStatus) -> str:
    """Returns what a search is told that the index cannot answer yet."""
    if status.problem is not None:
        return f"The search index is not up to date ({status.problem}); try again later"
    done = f"{status.resources:,} resources so far"
    if status.state == READY:
        return f"The search index is catching up with more writes than a search waits for ({done}); try again later"
    if status.watermark:
        upto = datetime.fromtimestamp(status.watermark / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        done += f", the history up to {upto}"
    return f"The search index is being built ({done}); try again later"
