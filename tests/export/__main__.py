"""`python -m tests.export rounds|kill --store embedded|seaweedfs`: the longer runs, with figures.

`rounds`: exports while others write (`--rounds 50`). `kill`: an export whose workers are killed every two seconds
(`--resources 100000`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from conformance.s3servers import running, seaweedfs
from fhirstore import ExportOptions, FhirStore, S3Options
from fhirstore.commit.limits import Limits
from tests.export.kill import kill, load
from tests.export.reading import worker
from tests.export.rounds import Rounds

_LIMITS = Limits(window=3_000, transaction_window=4_000, apply=1_000)


def main() -> int:
    """Returns 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.export", description=__doc__)
    parser.add_argument("what", choices=("rounds", "kill"))
    parser.add_argument("--store", choices=("embedded", "seaweedfs"), default="embedded")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--resources", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2, help="that are killed in turn")
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    with _store(options.store) as env:
        os.environ.update(env)
        if options.what == "rounds":
            wrong = asyncio.run(_rounds(options.store, options.rounds, seed))
        else:
            wrong = asyncio.run(_kill(env, options.resources, options.workers))
    for line in wrong[:20]:
        print(f"  {line}")  # noqa: T201 - a command's output
    return 1 if wrong else 0


async def _rounds(kind: str, rounds: int, seed: int) -> list[str]:
    options = ExportOptions(part_bytes=20_000, concurrency=8)
    async with (
        FhirStore.open(os.environ["FHIRSTORE_STORE"], s3=_s3(), limits=_LIMITS, export_options=options) as store,
        worker(store),
    ):
        run = Rounds(store, seed)
        for number in range(rounds):
            await run.round()
            print(  # noqa: T201 - a command's output
                f"{kind} round {number + 1}/{rounds} seed {seed}: {len(run.ids)} resources, "
                f"{run.checked} lines checked, {len(run.wrong)} wrong",
                flush=True,
            )
    return run.wrong


async def _kill(env: Mapping[str, str], resources: int, workers: int) -> list[str]:
    async with FhirStore.open(env["FHIRSTORE_STORE"], s3=_s3()) as store:
        clinic = store.tenant("default")
        report = await kill(clinic, env, await load(clinic, resources), workers=workers)
    print(report.line(), flush=True)  # noqa: T201 - a command's output
    return report.wrong


def _s3() -> S3Options | None:
    endpoint = os.environ.get("FHIRSTORE_S3_ENDPOINT_URL")
    return None if endpoint is None else S3Options(endpoint_url=endpoint, allow_http=True)


@contextmanager
def _store(name: str) -> Iterator[Mapping[str, str]]:
    with tempfile.TemporaryDirectory(prefix="fhirstore-export-") as folder:
        if name == "embedded":
            yield {"FHIRSTORE_STORE": f"file:{folder}/data"}
        else:
            with running(seaweedfs, Path(folder)) as server:
                yield server.serving(server.location())


if __name__ == "__main__":
    sys.exit(main())
