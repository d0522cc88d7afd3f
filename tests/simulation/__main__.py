"""`python -m tests.simulation`: run schedules, replay one, let mutants loose. Exit code 1 when anything is wrong."""

from __future__ import annotations

import argparse
import os
import sys

from tests.simulation.plots import PLOTS
from tests.simulation.run import find_mutants, run_mutants, run_seeds


def main() -> int:
    """Do what the arguments say; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, metavar="N", help="run N schedules")
    parser.add_argument("--start", type=int, default=0, metavar="SEED", help="from this seed on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes to use")
    parser.add_argument("--mutants", action="store_true", help="let every mutant be caught, from seed 0 on")
    parser.add_argument("--mutant", metavar="NAME", help="only those whose name holds NAME; with --seed: under it")
    parser.add_argument("--seed", type=int, metavar="SEED", help="run this schedule alone")
    parser.add_argument("--plot", choices=list(PLOTS), help="what schedules are about; with --seeds: all N of them")
    parser.add_argument("--trace", action="store_true", help="and print all that happens in it")
    asked = parser.parse_args()
    if asked.seed is not None:
        return replay(asked.seed, asked.mutant, plot=asked.plot or "resources", trace=asked.trace)
    fine = True
    if asked.seeds:
        fine = run_seeds(asked.start, asked.seeds, jobs=asked.jobs, say=print_now, plot=asked.plot)
    if asked.mutants or asked.mutant:
        fine = run_mutants(find_mutants(asked.mutant), jobs=asked.jobs, say=print_now) and fine
    return 0 if fine else 1


def replay(seed: int, mutant: str | None, *, plot: str, trace: bool) -> int:
    """One schedule, to look at. A mutant has its own plot."""
    lines: list[str] | None = [] if trace else None
    if mutant is None:
        verdict = PLOTS[plot].simulate(seed, lines)
    else:
        found = find_mutants(mutant)[0]
        with found.applied():
            verdict = found.plot.simulate(seed, lines)
    for line in lines or ():
        print_now(line)
    for _, finding in verdict.violations:
        print_now(f"violation: {finding}")
    return 1 if verdict.violations else 0


def print_now(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
