"""`python -m tests.export.simulated [seeds]`: many schedules, then every mutant, with figures."""

from __future__ import annotations

import sys
import time

from tests.export.simulated.mutants import MUTANTS, killed_by
from tests.export.simulated.schedule import simulate
from tests.simulation.schedule import Verdict


def main(seeds: int) -> int:
    """Returns 0 if nothing was violated and every mutant was caught."""
    began, total = time.perf_counter(), Verdict()
    for seed in range(seeds):
        total.add(simulate(seed))
    took = time.perf_counter() - began
    sys.stdout.write(f"{total.schedules:,} schedules, {total.requests:,} requests, {took:,.0f} s\n")
    sys.stdout.write(f"{sum(total.faults.values()):,} faults, {len(total.violations)} violations\n")
    for seed, finding in total.violations:
        sys.stdout.write(f"  seed {seed}: {finding}\n")
    survivors = 0
    for mutant in MUTANTS:
        kill = killed_by(mutant, range(mutant.within))
        survivors += kill is None
        sys.stdout.write(f"{'SURVIVES' if kill is None else kill[0] + 1:>8}  {mutant.name}\n")
    return 1 if total.violations or survivors else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000))
