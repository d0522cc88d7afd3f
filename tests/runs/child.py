"""`python -m tests.runs.child`: one process that writes or reads a run, or the same bytes without a run.

It prints a line per 8 MiB, so that a test can kill it in the middle, and at the end one line of JSON: `seconds`;
`busy`, the processor's seconds in all threads; `peak`, the most memory above that of the process once it had opened the
store, in MiB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import obstore

from fhirstore import FhirStore, S3Options
from fhirstore.objects.s3.options import S3Location
from fhirstore.objects.s3.session import S3Session

MIB = 1024 * 1024
_STEP = 8  # MiB


def block() -> bytes:
    """1 MiB of lines."""
    lines = b"".join(
        b'{"resourceType":"Observation","id":"%08d","value":"%s"}\n' % (n, b"x" * 940) for n in range(1100)
    )
    return lines[: MIB - 1] + b"\n"


def blocks(mib: int) -> Iterator[bytes]:
    """So many MiB, in blocks that differ in their number."""
    data = block()
    for n in range(mib):
        if n % _STEP == 0:
            say(f"at {n}")
        yield b"%08d%b" % (n, data[8:])


def say(line: str) -> None:
    """To standard output, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def memory(name: str) -> float:
    """VmRSS or VmHWM of this process, in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) / 1024


async def write(store: FhirStore, run_id: str, mib: int) -> None:
    """A run of one file."""
    async with store.tenant("default").runs("large").writer({"size": str(mib)}, run_id=run_id) as run:
        async with run.file() as file:
            for data in blocks(mib):
                await file.write(data)
        await run.finalize()


async def read(store: FhirStore, run_id: str, mib: int) -> None:
    """Read it, verified."""
    run = await store.tenant("default").runs("large").open({"size": str(mib)}, run_id=run_id)
    size = 0
    async with run.read() as file:
        async for chunk in file:
            size += len(chunk)
    assert size == mib * MIB


async def raw_write_s3(location: str, options: S3Options, mib: int) -> None:
    """The same bytes by obstore's multipart upload, with the same parts."""
    store, key = await _obstore(location, options)

    async def chunks() -> AsyncIterator[bytes]:
        for data in blocks(mib):
            yield data

    await obstore.put_async(store, key, chunks(), use_multipart=True, chunk_size=8 * MIB, max_concurrency=4)


async def raw_read_s3(location: str, options: S3Options) -> None:
    """The same bytes by obstore's GET."""
    store, key = await _obstore(location, options)
    async for _ in (await obstore.get_async(store, key)).stream(min_chunk_size=MIB):
        pass


async def _obstore(location: str, options: S3Options) -> tuple[obstore.store.S3Store, str]:
    where = S3Location.parse(location)
    session = await S3Session.open(where, options)
    return session.obstore(streaming=True), f"{where.root}raw"


def raw_write_file(path: Path, mib: int, *, hashed: bool) -> None:
    """The same bytes to a new file, made durable."""
    hash_ = hashlib.sha256()
    with path.open("xb") as file:
        for data in blocks(mib):
            file.write(data)
            if hashed:
                hash_.update(data)
        file.flush()
        os.fsync(file.fileno())


def raw_read_file(path: Path, *, hashed: bool) -> None:
    """The same bytes from a file."""
    hash_ = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(MIB):
            if hashed:
                hash_.update(data)


async def main() -> None:
    """Do what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m tests.runs.child")
    parser.add_argument("what", choices=["write", "read", "raw-write", "raw-read", "hashed-write", "hashed-read"])
    parser.add_argument("location")
    parser.add_argument("--endpoint")
    parser.add_argument("--run-id", default="r")
    parser.add_argument("--mib", type=int, default=40)
    asked = parser.parse_args()
    options = S3Options(endpoint_url=asked.endpoint, allow_http=True) if asked.endpoint else S3Options()
    hashed = asked.what.startswith("hashed")
    file = Path(f"{asked.location.removeprefix('file:')}.{asked.run_id}{'.hashed' if hashed else ''}")
    async with FhirStore.open(asked.location, s3=options) as store:
        idle, began, worked = memory("VmRSS"), time.perf_counter(), time.process_time()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest memory is now that of this moment
        say("ready")
        match asked.what, asked.endpoint:
            case "write", _:
                await write(store, asked.run_id, asked.mib)
            case "read", _:
                await read(store, asked.run_id, asked.mib)
            case (("raw-write" | "hashed-write"), None):
                raw_write_file(file, asked.mib, hashed=hashed)
            case (("raw-read" | "hashed-read"), None):
                raw_read_file(file, hashed=hashed)
            case "raw-write", _:
                await raw_write_s3(asked.location, options, asked.mib)
            case _:
                await raw_read_s3(asked.location, options)
        seconds = time.perf_counter() - began
        busy = time.process_time() - worked
        say(json.dumps({"seconds": seconds, "busy": busy, "peak": memory("VmHWM") - idle}))


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
