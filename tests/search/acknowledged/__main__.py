"""`python -m tests.search.acknowledged --store seaweedfs --writes 10000 --matches 10000`: at full size.

`--store`: seaweedfs, ministack, or the location of a store. Exit code 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conformance.s3servers import ministack, running, seaweedfs
from fhirstore import S3Options
from tests.search.acknowledged.checking import found_at_once, options_of, paged, two_servers

_SERVERS = {"ministack": ministack, "seaweedfs": seaweedfs}


def main() -> int:
    """Says what came of it; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.search.acknowledged", description=__doc__)
    parser.add_argument("--store", default="seaweedfs")
    parser.add_argument("--writes", type=int, default=10_000, help="each looked for on the other server")
    parser.add_argument("--matches", type=int, default=10_000, help="to page through while the other server writes")
    parser.add_argument("--page", type=int, default=100, help="matches on a page")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fhirstore-search-") as folder,
        _place(asked.store, Path(folder)) as place,
    ):
        return asyncio.run(_check(*place, Path(folder) / "index", asked))


@contextmanager
def _place(store: str, folder: Path) -> Iterator[tuple[str, S3Options | None]]:
    if store not in _SERVERS:
        yield store, None
        return
    with running(_SERVERS[store], folder / "s3") as server:
        os.environ.update(server.environment())
        yield server.location(), options_of(server)


async def _check(location: str, s3: S3Options | None, folder: Path, asked: argparse.Namespace) -> int:
    async with two_servers(location, folder, s3=s3) as (one, other):
        found = await found_at_once(one, other, asked.writes)
        _say(f"found at once  {found.found:,} of {asked.writes:,}  ({found.seconds:,.0f} s)", found.missed)
        pages = await paged(one, other, asked.matches, page=asked.page, least=asked.page // 5)
        _say(
            f"paged          {pages.matches:,} matches on {pages.pages:,} pages, {pages.writes:,} writes meanwhile"
            f"  ({pages.seconds:,.0f} s)",
            pages.wrong,
        )
    return 1 if found.missed or pages.wrong else 0


def _say(line: str, wrong: list[str]) -> None:
    for one in (line, f"wrong          {len(wrong):,}", *wrong[:10]):
        sys.stdout.write(one + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
