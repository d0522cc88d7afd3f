"""`python -m tests.submit.simulated [--seeds N] [--mutants]`, or `--seed N --trace`: many schedules, or one."""

from __future__ import annotations

import argparse
import sys
import time

from tests.submit.simulated.mutants import MUTANTS, killed_after
from tests.submit.simulated.schedule import simulate


def main() -> int:
    """Returns 1 if anything was violated, or a mutant survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--mutants", action="store_true")
    asked = parser.parse_args()
    if asked.seed is not None:
        trace: list[str] | None = [] if asked.trace else None
        violations = simulate(asked.seed, trace)
        sys.stdout.write("\n".join([*(trace or []), *violations]) + "\n")
        return bool(violations)
    began, broken = time.perf_counter(), 0
    for seed in range(asked.start, asked.start + asked.seeds):
        for finding in simulate(seed):
            broken += 1
            sys.stdout.write(f"seed {seed}: {finding}\n")
    took = time.perf_counter() - began
    sys.stdout.write(f"{asked.seeds} schedules in {took:.0f} s, {broken} violations\n")
    if asked.mutants:
        for mutant in MUTANTS:
            after = killed_after(mutant)
            broken += after is None
            sys.stdout.write(f"{'SURVIVES' if after is None else after:>8}  {mutant.name}\n")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
