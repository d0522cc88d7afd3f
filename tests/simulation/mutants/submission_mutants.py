"""The rules of a submission's protocols, each switched off in turn; the schedules must notice."""

from __future__ import annotations

from functools import partial

from fhirstore.jobs import lease
from fhirstore.submit import once, undo
from fhirstore.submit.standing import Standing
from tests.simulation.mutants.mutation import Mutant, getter
from tests.simulation.plots import ABOUT_SUBMISSIONS

_mutant = partial(Mutant, plot=ABOUT_SUBMISSIONS)

SUBMISSION_MUTANTS: tuple[Mutant, ...] = (
    _mutant(
        "line written again over its own version",
        once.unless_written,
        "current.op.startswith(token)",
        "False",
        within=200,
    ),
    _mutant(
        "line written again over one by others",
        once.unless_written,
        "current.prior.startswith(token)",
        "False",
        within=200,
    ),
    _mutant("versions between are not looked at", once.unless_written, "elif unknown >= 1:", "elif False:", within=200),
    _mutant("version of the line is not found", once._search, "return record, later", "pass", within=200),
    _mutant(
        "a line without a version is tried again over a later one",
        once.unless_written,
        "raise _Overtaken",
        "pass",
        within=200,
    ),
    _mutant("a plan is written over another's", lease.put_once, "IF_ABSENT, until", "None, until", within=5_000),
    _mutant("undoing ignores what others changed", undo.undo, "not family.wrote(current.op)", "False", within=200),
    _mutant(
        "undoing over a version that it has not seen",
        undo._over,
        "(current.version, current.op) != (wrong.version, wrong.op)",
        "False",
        within=5_000,
    ),
    _mutant(
        "undoing restores a version of the submission", undo._before, "not family.wrote(record.op)", "True", within=200
    ),
    _mutant(
        "what was undone is reported as changed by others",
        undo.undo,
        "above is not None and family.undid(above.op)",
        "False",
        within=200,
    ),
    _mutant(
        "what others changed is not reported",
        undo._above,
        "if record is not None and not family.wrote(record.op):",
        "if False:",
        within=200,
    ),
    _mutant("a zombie writes after its lease", Standing.now, "now > self._work.expires", "False", within=200),
    _mutant(
        "undoing does not wait for zombies",
        getter(Standing.quiet_after),
        "self._began + self._window",
        "0",
        within=5_000,
    ),
)
