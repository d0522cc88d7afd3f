"""The rules of an export, each switched off in turn: the simulator must notice every time.

Without a mutant are the epoch in a progress object (each worker's progress and files agree with each other, so a zombie
that writes over it only costs work), and rule R3, whose mutants are those of `commit.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore.export import snapshot
from fhirstore.export.export import Export
from fhirstore.export.scan import Candidate, EventScan, FolderScan
from fhirstore.export.tasks import Segment, TypeTask
from tests.export.simulated.schedule import simulate
from tests.simulation.mutants.mutation import Mutant

MUTANTS: tuple[Mutant, ...] = (
    Mutant("not waited until it is settled", snapshot.settled, "if reply.date > until:", "if True:"),
    Mutant("settled with T itself", snapshot.settled, "at + limits.settled", "at"),
    Mutant("the current version instead of that at T", snapshot._at_once, "if record.t > at:", "if False:"),
    Mutant("T excluded among older versions", snapshot._before, "if record.t > at:", "if record.t >= at:"),
    Mutant(
        "intents not looked at",
        snapshot._at_once,
        "record.intent is not None and record.intent.t <= at",
        "False",
    ),
    Mutant("events at T left out", EventScan.page, 'name[:13] > f"', 'name[:13] >= f"'),
    Mutant("first event after since left out", EventScan.page, "self.since + 1", "self.since + 2", within=4_000),
    Mutant("taken on every page with an event", Candidate.is_here, "return self.made is None or", "return True or"),
    Mutant(
        "resumed at the last one again", FolderScan.page, "ids.index(position.after) + 1", "ids.index(position.after)"
    ),
    Mutant("a position behind what is not written", TypeTask._append, "cut(segment.firm)", "cut(one.then)"),
    Mutant(
        "a position one page ahead",
        TypeTask.walk,
        "yield from self._page(page.candidates, take)\n        if",
        "yield from (turn or (lambda _: ()))(page)\n        yield from self._page(page.candidates, take)\n        if",
    ),
    Mutant("files named without the epoch", Segment.name, "{self.epoch}", "1"),
    Mutant("sealed before all is done", Export.run, "(yield from task.run(progress))", "progress"),
    Mutant("progress forgotten", Segment.cut, "position=position", "position=before.position"),
    Mutant("deletions not told", TypeTask.taken, "kind, data = DELETED", "kind, data = kind"),
)


def killed_by(mutant: Mutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of these seeds whose schedule catches the mutant, and only the mutant, and what was wrong then."""
    for seed in seeds:
        with mutant.applied():
            found = simulate(seed).violations
        if found and not simulate(seed).violations:
            return found[0]
    return None
