"""The tenant that does not flood: a few clients that create and read with pauses, and how long each answer takes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from conformance.overload.flood import creation
from conformance.rates.load import LOCATION, Target, message_end

_PAUSE = 0.1  # seconds between an answer and the next request
_PATIENCE = 60.0  # seconds for one answer


@dataclass(slots=True)
class Quiet:
    """What its clients saw. `latencies`: seconds; status 0: no answer, or not the right one."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    locations: list[str] = field(default_factory=list)

    def milliseconds(self, share: float) -> float:
        """The latency that `share` of the answers kept, in milliseconds."""
        return 1_000 * percentile(self.latencies, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that `share` of them do not exceed; 0 without any."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


async def ask_quietly(target: Target, tenant: str, *, clients: int, seconds: float) -> Quiet:
    """Creates and reads in turn, each client on a connection that it keeps."""
    quiet, end = Quiet(), time.monotonic() + seconds
    await asyncio.gather(*[_client(target, tenant, quiet, end, n / clients * _PAUSE) for n in range(clients)])
    return quiet


async def _client(target: Target, tenant: str, quiet: Quiet, end: float, delay: float) -> None:
    await asyncio.sleep(delay)
    headers = {"X-Tenant-ID": tenant}
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection(target.host, target.port)
        except OSError:
            quiet.statuses[0] += 1
            await asyncio.sleep(_PAUSE)
            continue
        try:
            while time.monotonic() < end:
                head = await _asked(reader, writer, creation(target, tenant), quiet)
                await asyncio.sleep(_PAUSE)
                if (location := LOCATION.search(head)) is None:
                    continue
                quiet.locations.append(location[1].decode("latin-1"))
                path = quiet.locations[-1].split(target.path, 1)[1].split("/_history")[0]
                await _asked(reader, writer, target.request("GET", path, headers=headers), quiet)
                await asyncio.sleep(_PAUSE)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            quiet.statuses[0] += 1
        finally:
            writer.close()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, quiet: Quiet) -> bytes:
    """Sends a request. Returns the head of its answer."""
    began = time.monotonic()
    writer.write(request)
    async with asyncio.timeout(_PATIENCE):
        head = await reader.readuntil(b"\r\n\r\n")
        length = message_end(head, len(head))
        await reader.readexactly(length - len(head))
    quiet.latencies.append(time.monotonic() - began)
    quiet.statuses[int(head[9:12])] += 1
    return head
