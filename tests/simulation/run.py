"""Many seeds on several cores, mutants after them, and what they came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TypeVar

from tests.simulation.mutants.mutants import MUTANTS
from tests.simulation.mutants.mutation import Mutant
from tests.simulation.plots import PLOTS
from tests.simulation.schedule import Verdict

_CHUNK = 250
_ENOUGH = 10  # violations

Print = Callable[[str], None]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def many(seeds: Iterable[int], plot: str = "resources") -> Verdict:
    """Run these schedules, one after another."""
    total = Verdict()
    for seed in seeds:
        total.add(PLOTS[plot].simulate(seed))
        if len(total.violations) >= _ENOUGH:
            break
    return total


def seeds_for(mutant: Mutant) -> range:
    """The seeds that must catch it."""
    if mutant.shape is None:
        return range(mutant.begin, mutant.within)
    shapes = mutant.plot.shapes
    return range(shapes.index(mutant.shape) + mutant.begin * len(shapes), mutant.within * len(shapes), len(shapes))


def killed_by(mutant: Mutant, seeds: Iterable[int]) -> tuple[int, str] | None:
    """The first of these seeds whose schedule catches the mutant, and only the mutant, and what was wrong then."""
    left = iter(seeds)
    while (kill := _first_violation(mutant, left)) is not None:
        if not mutant.plot.simulate(kill[0]).violations:
            return kill
    return None


def _first_violation(mutant: Mutant, seeds: Iterator[int]) -> tuple[int, str] | None:
    with mutant.applied():
        for seed in seeds:
            if violations := mutant.plot.simulate(seed).violations:
                return violations[0]
    return None


def run_seeds(start: int, count: int, *, jobs: int, say: Print, plot: str | None = None) -> bool:
    """Run `count` schedules about resources, and the share of the other plots; or `count` of one plot alone.

    True: nothing was violated.
    """
    if plot is not None:
        return _run_seeds(start, count, plot, jobs=jobs, say=say)
    fine = [
        _run_seeds(start, max(int(count * plot.share), 1), plot.name, jobs=jobs, say=say) for plot in PLOTS.values()
    ]
    return all(fine)


def _run_seeds(start: int, count: int, plot: str, *, jobs: int, say: Print) -> bool:
    """Run `count` schedules and print the figures. True: nothing was violated."""
    began = time.perf_counter()
    total = Verdict()
    chunks = [range(at, min(at + _CHUNK, start + count)) for at in range(start, start + count, _CHUNK)]
    for verdict in _spread(partial(many, plot=plot), chunks, jobs):
        total.add(verdict)
        if len(total.violations) >= _ENOUGH:
            break
    took = time.perf_counter() - began
    say(f"about         {plot:>12}")
    say(f"schedules     {total.schedules:>12,}  ({total.schedules / took:,.0f}/s, {took:,.0f} s, {jobs} jobs)")
    say(f"requests      {total.requests:>12,}")
    say(f"calls         {total.calls:>12,}")
    say(f"acknowledged  {total.acknowledged:>12,}  writes")
    say(f"transactions  {total.transactions:>12,}  acknowledged")
    say(f"commits       {total.commits:>12,}")
    say(f"faults        {sum(total.faults.values()):>12,}")
    for fault, number in total.faults.most_common():
        say(f"  {fault.replace('_', ' '):<12}{number:>12,}")
    say(f"violations    {len(total.violations):>12,}")
    for seed, finding in total.violations[:_ENOUGH]:
        say(f"  seed {seed}: {finding}")
    if total.violations:
        say(f"see: python -m tests.simulation --plot {plot} --seed {total.violations[0][0]} --trace")
    return not total.violations


def run_mutants(mutants: tuple[Mutant, ...], *, jobs: int, say: Print) -> bool:
    """Let the schedules from seed 0 on catch each mutant. True: all were caught within their bounds."""
    caught = 0
    names = [mutant.name for mutant in mutants]
    for mutant, kill in zip(mutants, _spread(_caught, names, jobs), strict=True):
        if kill is None:
            say(f"SURVIVES  {mutant.name}  ({mutant.within:,} schedules)")
        else:
            caught += 1
            took = mutant.begin + seeds_for(mutant).index(kill[0]) + 1
            say(f"{took:>8,}  {mutant.name}  (bound {mutant.within:,}, {mutant.shape or 'all'}): {kill[1][:100]}")
    say(f"mutants       {caught} of {len(mutants)} caught within their bounds (first column: schedules it took)")
    return caught == len(mutants)


def find_mutants(name: str | None) -> tuple[Mutant, ...]:
    """All, or those whose name holds `name`."""
    return tuple(mutant for mutant in MUTANTS if name is None or name in mutant.name)


def _caught(name: str) -> tuple[int, str] | None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    return killed_by(mutant, seeds_for(mutant))


def _spread(work: Callable[[_Item], _Result], items: Sequence[_Item], jobs: int) -> Iterator[_Result]:
    """Each item's result, in order, worked out on `jobs` processes."""
    if jobs == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(work, items)
        finally:
            pool.shutdown(cancel_futures=True)
