"""Reads the storage requests of servers from a scrape of their /metrics, in Prometheus's text format.

https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from server.commands.cost.operations import VERBS

REQUESTS = "fhirstore_storage_requests_total"
REPEATS = "fhirstore_storage_repeats_total"
BYTES = "fhirstore_storage_bytes_total"
ALL = "all tenants"
"""What requests count for whose metric names no tenant."""

_MOST_BYTES = 64 * 1024 * 1024
_SECONDS = 30.0
_SAMPLE = re.compile(r"([A-Za-z_:][A-Za-z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?\s*")
_LABEL = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class BadScrape(Exception):
    """The metrics cannot be read; the message says why."""


@dataclass(slots=True)
class Traffic:
    """The requests of a tenant by verb, repeats among them, and the bytes of the bodies that were read."""

    requests: dict[str, int] = field(default_factory=dict)
    read: int = 0


def read_scrape(source: str) -> dict[str, Traffic]:
    """Returns the traffic of each tenant. `source`: an http or https URL, or a file. Raises BadScrape."""
    text = asyncio.run(_fetched(source)) if source.startswith(("http://", "https://")) else _of_file(Path(source))
    traffic = parsed(text.splitlines())
    if not any(one.requests for one in traffic.values()):
        raise BadScrape(f"{source}: has no {REQUESTS}; is it the /metrics of a fhirstore server?")
    return traffic


def parsed(lines: Iterable[str]) -> dict[str, Traffic]:
    """Returns the traffic of each tenant that lines of the text format tell. Raises BadScrape."""
    found: dict[str, Traffic] = {}
    for number, line in enumerate(lines, 1):
        if not line.startswith((REQUESTS, REPEATS, BYTES)):
            continue
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            raise BadScrape(f"line {number}: is no sample of the text format")
        name, labels = sample[1], _labels(sample[2] or "", number)
        traffic = found.setdefault(labels.get("tenant") or ALL, Traffic())
        if name in (REQUESTS, REPEATS):
            verb = labels.get("verb", "").upper()
            if verb not in VERBS:
                raise BadScrape(f"line {number}: {verb!r} is no verb of storage; there are {', '.join(VERBS)}")
            traffic.requests[verb] = traffic.requests.get(verb, 0) + _count(sample[3], number)
        elif name == BYTES and labels.get("direction") == "read":
            traffic.read += _count(sample[3], number)
    return found


def _labels(text: str, number: int) -> dict[str, str]:
    labels: dict[str, str] = {}
    end = 0
    while end < len(text):
        label = _LABEL.match(text, end)
        if label is None:
            raise BadScrape(f"line {number}: its labels cannot be read")
        labels[label[1]] = re.sub(r"\\.", lambda escape: _ESCAPED.get(escape[0], escape[0]), label[2])
        end = label.end()
    return labels


def _count(text: str, number: int) -> int:
    try:
        value = float(text)
        if value < 0:
            raise ValueError
        return round(value)
    except (ValueError, OverflowError):
        raise BadScrape(f"line {number}: {text!r} is no count") from None


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadScrape(f"{path}: cannot be read ({error.strerror or 'it is no file'})") from None
    return _decoded(body, str(path))


async def _fetched(url: str) -> str:
    limit = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=limit) as client, client.get(url) as answer:
            if answer.status != 200:
                raise BadScrape(f"{url}: answered {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_chunked(65_536):
                body += chunk
                if len(body) > _MOST_BYTES:
                    break
    except (aiohttp.ClientError, ValueError) as error:
        raise BadScrape(f"{url}: {str(error) or type(error).__name__}") from None
    except TimeoutError:
        raise BadScrape(f"{url}: no answer within {_SECONDS:.0f} s") from None
    return _decoded(bytes(body), url)


def _decoded(body: bytes, source: str) -> str:
    if len(body) > _MOST_BYTES:
        raise BadScrape(f"{source}: is larger than {_MOST_BYTES:,} bytes")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise BadScrape(f"{source}: is not in UTF-8") from None
