"""A copier to be killed: copies a tenant with a short lease. `python -m tests.upkeep.copy.copier SOURCE TARGET`."""

from __future__ import annotations

import asyncio
import os
import sys

from fhirstore import CopyOptions, FhirStore, S3Options


def s3_options() -> S3Options:
    """The options of the tests' servers, as the environment names them."""
    return S3Options(endpoint_url=os.environ.get("FHIRSTORE_S3_ENDPOINT_URL"), allow_http=True)


async def main(source: str, target: str) -> int:
    """Copies. Returns 0 when it is complete."""
    s3 = s3_options()
    options = CopyOptions(lease=4_000, at_once=16)
    async with (
        FhirStore.open(source, tenants=None, s3=s3, create=False) as one,
        FhirStore.open(target, tenants=None, s3=s3) as other,
    ):
        report = await one.copy_to(other, "default", options=options)
        sys.stdout.write(f"{report.outcome} {report.resources} {report.versions}\n")
        return 0 if report.complete else 1


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(*sys.argv[1:3])))
