"""`python -m tests.search.local EXAMPLES [SEED]`: many more examples of the oracle than the suite has.

`python -m tests.search.local official`: all official examples that the repository has, of all releases.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from fhirstore.fhir.definitions.load import RELEASES
from tests.search.local.test_official import compare
from tests.search.local.test_oracle import HISTORIES, Search, Writes, check

_AT_ONCE = 250


def main(examples: int, start: int) -> None:
    """Runs them, some at a time, and stops at the first difference."""
    for number, left in enumerate(range(examples, 0, -_AT_ONCE)):
        some(min(left, _AT_ONCE), start + number)


def some(examples: int, start: int) -> None:
    """Runs so many, and says how long that took."""
    searched = 0

    @seed(start)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(*HISTORIES)
    def run(batches: list[Writes], asked: list[Search], count: int) -> None:
        nonlocal searched
        searched += len(asked)
        check(batches, asked, count)

    began = time.monotonic()
    run()
    took = time.monotonic() - began
    sys.stdout.write(f"seed {start}: {examples:,} examples, {searched:,} searches, no difference, {took:.0f} s\n")
    sys.stdout.flush()


def official() -> None:
    """Compares searches of the official examples, up to forty of each type."""
    for release in RELEASES:
        with tempfile.TemporaryDirectory() as folder:
            compared = compare(release, Path(folder), most=40)
            sys.stdout.write(f"{release}: {compared.total():,} searches, no difference\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["official"]:
        official()
        sys.exit()
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32))
