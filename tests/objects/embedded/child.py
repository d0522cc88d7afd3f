"""Processes that tests of the embedded store start, kill and race: `python -m … WHAT DIR`."""

import asyncio
import resource
import sys
from itertools import count
from pathlib import Path

from fhirstore.errors import PreconditionFailed, StoreFull
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.facts import Facts

SMALL = 1000  # bytes above which the children's stores make files


def say(*words: str) -> None:
    """A line to the parent, at once."""
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


async def write_for_ever(directory: Path) -> None:
    """Create, replace and delete rows and files, saying `key etag` (no etag: deleted) for each acknowledged write."""
    store = await EmbeddedStore.open(directory, large=SMALL)
    taken = len((await store.list("run/", delimiter=True)).prefixes)

    async def write(worker: int) -> None:
        for number in count():
            key = f"run/{taken}/{worker}/{number % 10}"
            body = f"{taken} {worker} {number}".encode() * (1 if number % 3 else 200)
            if number % 7 == 6:
                await store.delete(key)
                say(key)
            else:
                say(key, (await store.put(key, body)).etag)

    await asyncio.gather(*(write(worker) for worker in range(8)))


async def upload_for_ever(directory: Path) -> None:
    """Make objects of two parts, saying `part key upload etags…` when both are kept and `key etag` when it is one."""
    store = await EmbeddedStore.open(directory, large=SMALL)
    taken = len((await store.list("up/", delimiter=True)).prefixes) + len((await store.list_uploads("")).uploads)

    async def write(worker: int) -> None:
        for number in count():
            key = f"up/{taken}-{worker}/{number}"
            upload = await store.create_upload(key, facts=Facts(metadata={"key": key}))
            bodies = (bytes([worker]) * 5 * 1024 * 1024, key.encode())
            etags = [await store.put_part(key, upload, n, body) for n, body in enumerate(bodies, 1)]
            say("part", key, upload, *etags)
            say(key, (await store.complete_upload(key, upload, list(enumerate(etags, 1)))).etag)

    await asyncio.gather(*(write(worker) for worker in range(3)))


async def increment(directory: Path) -> None:
    """Count `counter` up a hundred times, five tasks at once, each time by a write IfMatch."""
    store = await EmbeddedStore.open(directory)
    todo = iter(range(100))

    async def add() -> None:
        for _ in todo:
            while True:
                found = await store.get("counter")
                try:
                    await store.put("counter", b"%d" % (int(found.body) + 1), condition=IfMatch(found.etag))
                except PreconditionFailed:
                    continue
                break

    await asyncio.gather(*(add() for _ in range(5)))
    await store.aclose()


async def fill_the_disk(directory: Path) -> None:
    """Write until files may grow no more, see the error, then write on once they may again."""
    store = await EmbeddedStore.open(directory)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, hard))
    for number in range(10_000):
        try:
            await store.put(f"k/{number:05}", b"x" * 10_000, condition=IF_ABSENT)
        except StoreFull as error:
            say(str(error))
            break
    else:
        say("never full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.put(f"k/{number:05}", b"x" * 10_000)
    say(str(number), str(len((await store.list("k/")).objects)))
    await store.aclose()


if __name__ == "__main__":
    tasks = {"write": write_for_ever, "increment": increment, "fill": fill_the_disk, "upload": upload_for_ever}
    what = tasks[sys.argv[1]]
    asyncio.run(what(Path(sys.argv[2])))
