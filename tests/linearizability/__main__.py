"""`python -m tests.linearizability --runs 20 --seconds 60 --store embedded`: the kill test, as often as wanted."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conformance.s3servers import running, seaweedfs
from tests.linearizability.run import Report, run

SETTLE_SECONDS = {"embedded": 0.0, "seaweedfs": 3.0}


def main() -> int:
    """One line per run; exit code 1 when any was not linearizable."""
    parser = argparse.ArgumentParser(prog="python -m tests.linearizability", description=__doc__)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load per run")
    parser.add_argument("--store", choices=SETTLE_SECONDS, default="embedded")
    parser.add_argument("--seed", type=int, help="of the first run; the others count on")
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    broken = 0
    for number in range(options.runs):
        with _store(options.store) as env:
            settle = SETTLE_SECONDS[options.store]
            report = asyncio.run(run(env, seconds=options.seconds, seed=seed + number, settle=settle))
        print(f"{options.store} {number + 1}/{options.runs} {report.line()}", flush=True)  # noqa: T201 - a command's output
        broken += _explain(report)
    return 1 if broken else 0


@contextmanager
def _store(name: str) -> Iterator[Mapping[str, str]]:
    with tempfile.TemporaryDirectory(prefix="fhirstore-kill-") as folder:
        if name == "embedded":
            yield {"FHIRSTORE_STORE": f"file:{folder}/data"}
        else:
            with running(seaweedfs, Path(folder)) as server:
                yield server.serving(server.location())


def _explain(report: Report) -> int:
    for line in report.wrong[:20]:
        print(f"  {line}", flush=True)  # noqa: T201 - as above
    return len(report.wrong)


if __name__ == "__main__":
    sys.exit(main())
