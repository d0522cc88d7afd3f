"""Rows of many batches in the order of their table, so that each page of it is met once.

A batch of a few thousand resources has rows for most pages of an index of a million: written batch by batch, each page
is read and written hundreds of times. A run is what one batch has for one table, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import groupby
from operator import itemgetter

from fhirstore.index.local.numbering import Row

_SOME = 4_000  # rows that are put in order at once
_FIRST = itemgetter(0)


def in_order(runs: Sequence[Iterable[Row]]) -> Iterator[list[Row]]:
    """Yields the rows of runs, each in the order of its first column, in the order of all columns; some at a time:
    where they are many, no call into C takes long, and few are in memory.
    """
    if len(runs) == 1:
        yield sorted(runs[0])
        return
    groups = [groupby(run, key=_FIRST) for run in runs]
    heads: list[tuple[int, int, Iterator[Row]]] = []  # the value of the first column, which run, the rows with it

    def advance(n: int) -> None:
        if (head := next(groups[n], None)) is not None:
            heappush(heads, (head[0], n, head[1]))

    for n in range(len(groups)):
        advance(n)
    rows: list[Row] = []
    while heads:
        first = heads[0][0]
        alike: list[Row] = []
        while heads and heads[0][0] == first:
            _, n, its = heappop(heads)
            alike += its
            advance(n)
        alike.sort()
        rows += alike
        if len(rows) >= _SOME:
            yield rows
            rows = []
    yield rows
