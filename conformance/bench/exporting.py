"""A small client of bulk export, as much as a measurement needs.

https://hl7.org/fhir/uv/bulkdata/export.html
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

import httpx

from conformance.rates.load import LoadFailed

_SECONDS = 3600.0  # for an export
_WAITING = "Waiting"  # what X-Progress of our server begins with until it works


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that is done. Seconds since the kick-off: `waited` until it began to work, `done` at the manifest."""

    status_url: str
    files: tuple[tuple[str, int | None], ...]  # URL and count
    waited: float
    done: float

    @property
    def working(self) -> float:
        """Seconds of work. Polls are a second or two apart: it is that much longer at most, never shorter."""
        return self.done - self.waited


class Exporting:
    """An export that was kicked off. Raises LoadFailed for whatever goes wrong."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self._client = client
        self._base = base
        self._url = ""
        self._began = 0.0
        self._waited = 0.0
        self.working = asyncio.Event()

    async def export(self) -> Exported:
        """Starts the export of the whole system, and waits for its end. `working` is set when it has begun."""
        self._began = time.perf_counter()
        answer = await self._client.get(f"{self._base}/$export", headers={"Prefer": "respond-async"})
        if answer.status_code != 202:
            raise LoadFailed(f"the kick-off was answered {answer.status_code}: {answer.text[:300]}")
        self._url = answer.headers["Content-Location"]
        try:
            async with asyncio.timeout(_SECONDS):
                while True:
                    answer = await self._client.get(self._url, headers={"Accept": "application/json"})
                    if answer.status_code == 200:
                        break
                    if answer.status_code not in (202, 429):
                        raise LoadFailed(f"the export was answered {answer.status_code}: {answer.text[:300]}")
                    if answer.status_code == 202:
                        self._note(answer.headers.get("X-Progress", ""))
                    await asyncio.sleep(float(answer.headers.get("Retry-After", "1")))
        except TimeoutError as late:
            raise LoadFailed(f"the export was not done after {_SECONDS:.0f} s") from late
        finally:
            self.working.set()
        files = tuple((item["url"], item.get("count")) for item in answer.json()["output"])
        return Exported(self._url, files, self._waited, time.perf_counter() - self._began)

    def _note(self, words: str) -> None:
        if words.startswith(_WAITING) and not self.working.is_set():
            self._waited = time.perf_counter() - self._began
        else:
            self.working.set()


async def download(client: httpx.AsyncClient, exported: Exported, *, expected: int) -> tuple[int, float]:
    """Reads the files. Returns their bytes and the seconds. Raises LoadFailed where there is not each line once."""
    began = time.perf_counter()
    size, seen = 0, Counter[bytes]()
    for url, count in exported.files:
        rest, lines = b"", 0
        async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.status_code != 200:
                raise LoadFailed(f"a file was answered {answer.status_code}")
            async for piece in answer.aiter_raw():
                size += len(piece)
                *whole, rest = (rest + piece).split(b"\n")
                lines += len(whole)
                seen.update(line[line.find(b'"id":"p-') + 6 :][:9] for line in whole)
        if count is not None and count != lines:
            raise LoadFailed(f"a file has {lines} lines; the manifest says {count}")
    if len(seen) != expected or set(seen.values()) != {1}:
        raise LoadFailed(f"{len(seen):,} of {expected:,} resources are in the files, some {max(seen.values())} times")
    return size, time.perf_counter() - began


async def remove(client: httpx.AsyncClient, exported: Exported) -> None:
    """Removes the job and its files."""
    answer = await client.delete(exported.status_url)
    if answer.status_code != 202:
        raise LoadFailed(f"the removal of an export was answered {answer.status_code}")
