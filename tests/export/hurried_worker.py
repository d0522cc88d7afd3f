"""`python -m tests.export.hurried_worker`: a worker on FHIRSTORE_STORE whose limits and leases are short."""

from __future__ import annotations

import asyncio
import os

from fhirstore import ExportOptions, FhirStore
from fhirstore.export.job import ExportJob
from tests.export.reading import HURRIED


async def main() -> None:
    """Works until it is killed."""
    options = ExportOptions(concurrency=2, part_bytes=200_000)
    async with FhirStore.open(os.environ["FHIRSTORE_STORE"], limits=HURRIED) as store:
        kind = ExportJob(store.definitions, options, lease=1_500)
        await store.worker(kinds=[kind], poll=0.2).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())
