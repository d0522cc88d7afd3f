"""How far a manifest was taken over: what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.submit.segment import Counts, Plan


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """The next segment: its file, its first line, and the first byte of that. `lines`: of the file, so far.

    `etag`: of the file. `done`: what became of all lines of the manifest so far, as far as this is known.
    """

    file: int = 1
    first: int = 1
    start: int = 0
    lines: int = 0
    etag: str | None = None
    done: Counts = Counts()

    def behind(self, plan: Plan, counts: Counts) -> Position:
        """Returns the position behind a segment with this plan and these results."""
        return Position(
            self.file,
            plan.first + plan.count,
            plan.end,
            self.lines + counts.lines,
            plan.etag or self.etag,
            self.done + counts,
        )


def read_position(work: Mapping[str, object], manifest: str) -> Position:
    """Returns the position that a checkpoint holds for this manifest; the beginning, if it holds none."""
    kept = work.get("position")
    if work.get("manifest") != manifest or kept is None:
        return Position()
    return msgspec.convert(kept, Position)
