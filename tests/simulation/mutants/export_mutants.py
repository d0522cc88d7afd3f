"""The rules of an export, each switched off in turn: the simulator must notice every time.

Without a mutant are the epoch in a progress object (each worker's progress and files agree with each other, so a zombie
that writes over it only costs work), and rule R3, whose mutants are those of `commit.reading`.
"""

from __future__ import annotations

from functools import partial

from fhirstore.export import snapshot
from fhirstore.export.export import Export
from fhirstore.export.scan import Candidate, EventScan, FolderScan
from fhirstore.export.tasks import Segment, TypeTask
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import ABOUT_EXPORTS

_mutant = partial(Mutant, plot=ABOUT_EXPORTS)

EXPORT_MUTANTS: tuple[Mutant, ...] = (
    _mutant("not waited until it is settled", snapshot.settled, "if reply.date > until:", "if True:"),
    _mutant("settled with T itself", snapshot.settled, "at + limits.settled", "at", begin=80),
    _mutant("the current version instead of that at T", snapshot._at_once, "if record.t > at:", "if False:"),
    _mutant("T excluded among older versions", snapshot._before, "if record.t > at:", "if record.t >= at:"),
    _mutant(
        "intents not looked at",
        snapshot._at_once,
        "record.intent is not None and record.intent.t <= at",
        "False",
    ),
    _mutant("events at T left out", EventScan.page, 'name[:13] > f"', 'name[:13] >= f"'),
    _mutant("first event after since left out", EventScan.page, "self.since + 1", "self.since + 2", within=4_000),
    _mutant("taken on every page with an event", Candidate.is_here, "return self.made is None or", "return True or"),
    _mutant(
        "resumed at the last one again", FolderScan.page, "ids.index(position.after) + 1", "ids.index(position.after)"
    ),
    _mutant("a position behind what is not written", TypeTask._append, "cut(segment.firm)", "cut(one.then)"),
    _mutant(
        "a position one page ahead",
        TypeTask.walk,
        "yield from self._page(page.candidates, take)\n        if",
        "yield from (turn or (lambda _: ()))(page)\n        yield from self._page(page.candidates, take)\n        if",
    ),
    _mutant("files named without the epoch", Segment.name, "{self.epoch}", "1", begin=200),
    _mutant("sealed before all is done", Export.run, "(yield from task.run(progress))", "progress"),
    _mutant("progress forgotten", Segment.cut, "position=position", "position=before.position"),
    _mutant("deletions not told", TypeTask.taken, "kind, data = DELETED", "kind, data = kind"),
)
