"""`python -m tests.submit.rates --lines 20000 --store embedded`: resources/s and memory of a submission.

Beside it, in the same run: how many bodies of the same size a second the store takes as plain PUTs, four of which are
the least that a resource costs. (What it costs in requests is a test: `test_costs`.)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from conformance.s3servers import running, seaweedfs
from fhirstore.objects import S3Options, open_objects
from fhirstore.objects.base import ObjectStore
from fhirstore.store import FhirStore
from fhirstore.submit.lines import Bounds
from fhirstore.tenancy import PrefixTenancy
from tests.submit.providing import Folder, finished, options, request, working


def patient(number: int) -> dict[str, object]:
    """A Patient of about 900 bytes."""
    return {
        "resourceType": "Patient",
        "id": f"p{number:07d}",
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{"A patient. " * 20}</div>'},
        "identifier": [{"system": "https://example.org/mrn", "value": f"mrn-{number}"}],
        "name": [{"use": "official", "family": f"Family{number}", "given": ["Given", "Second"]}],
        "gender": ("male", "female")[number % 2],
        "birthDate": f"19{number % 100:02d}-01-15",
        "address": [{"line": [f"{number} Street"], "city": "Town", "postalCode": "12345", "country": "US"}],
        "telecom": [{"system": "phone", "value": "555-0100", "use": "home"}],
    }


@contextmanager
def place(name: str) -> Iterator[str]:
    """The location of an empty store of this kind; its environment is set."""
    with tempfile.TemporaryDirectory(prefix="fhirstore-submit-") as folder:
        if name == "memory":
            yield "memory:"
        elif name == "embedded":
            yield f"file:{folder}/data"
        else:
            with running(seaweedfs, Path(folder)) as server:
                os.environ.update(server.serving(""))
                yield server.location()


@asynccontextmanager
async def opened(location: str) -> AsyncIterator[ObjectStore]:
    """The store there."""
    endpoint = os.environ.get("FHIRSTORE_S3_ENDPOINT_URL")
    s3 = S3Options(endpoint_url=endpoint, allow_http=True) if endpoint else None
    objects = await open_objects(location, s3=s3)
    try:
        yield objects
    finally:
        await objects.aclose()


async def raw_puts(objects: ObjectStore, count: int, size: int, at_once: int) -> float:
    """Plain PUTs a second."""
    left = iter(range(count))

    async def put() -> None:
        for number in left:
            await objects.put(f"raw/{number}", os.urandom(size))

    began = time.perf_counter()
    await asyncio.gather(*[put() for _ in range(at_once)])
    return count / (time.perf_counter() - began)


async def measure(location: str, lines: int, *, concurrency: int, segment: int, identifiers: bool) -> None:
    """Submits so many lines, and prints the figures."""
    with tempfile.TemporaryDirectory(prefix="fhirstore-submit-") as name:
        folder = Folder(Path(name))
        resources = (patient(number) for number in range(lines))
        if not identifiers:
            resources = ({key: value for key, value in one.items() if key != "identifier"} for one in resources)
        url = folder.write("p.ndjson", resources)
        manifest = folder.manifest("m.json", [("Patient", url, lines)])
        async with opened(location) as objects:
            raw = await raw_puts(objects, min(lines, 8_000), 900, 4 * concurrency)
            opt = options(Path(name), bounds=Bounds(lines=segment), concurrency=concurrency)
            store = FhirStore(PrefixTenancy(objects, frozenset(["default"])), submit_options=opt)
            clinic = store.tenant("default")
            async with working(store):
                began, cpu = time.perf_counter(), time.process_time()
                await clinic.submissions.submit(request(manifest, status="completed"))
                status = await finished(clinic, within=3_600)
                took, cpu = time.perf_counter() - began, time.process_time() - cpu
            assert status.manifests[0].counts.created == lines, status
        rate = lines / took
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sys.stdout.write(
            f"{lines:,} lines, {concurrency} at a time, segments of {segment}: {rate:,.0f} resources/s"
            f" ({took:.1f} s, CPU {cpu:.1f} s), raw {raw:,.0f} PUT/s, ratio to raw / 4: {rate / (raw / 4):.2f},"
            f" {memory:.0f} MiB at most\n"
        )


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m tests.submit.rates", description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--store", choices=("embedded", "seaweedfs", "memory"), default="embedded")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--segment", type=int, default=1_000)
    parser.add_argument("--no-identifiers", action="store_true")
    asked = parser.parse_args()
    with place(asked.store) as location:
        asyncio.run(
            measure(
                location,
                asked.lines,
                concurrency=asked.concurrency,
                segment=asked.segment,
                identifiers=not asked.no_identifiers,
            )
        )


if __name__ == "__main__":
    main()
