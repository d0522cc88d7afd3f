"""The export as a job of the server: kick-off, status requests until it is complete, cancellation.

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-status-request
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urljoin

from server.commands.export.asking import Answer, Asker, ExportFailed
from server.commands.export.manifest import (
    MAX_BYTES,
    BadManifest,
    Listed,
    Manifest,
    Section,
    is_manifest,
    read_manifest,
)
from server.commands.export.order import CannotExport, Order
from server.commands.retries import NO_ANSWER
from server.commands.urls import origin_of, shown

Method: TypeAlias = Literal["auto", "get", "post"]
METHODS: tuple[Method, ...] = ("auto", "get", "post")

_SMALL = 1 << 20  # bytes of an answer that is no manifest
_PAGES = 10_000
_FHIR_JSON = "application/fhir+json"
_POST_ONLY = frozenset({405, 501})
_GONE = frozenset({404, 410})
_REFUSED = frozenset({401, 403})
_CANCELLING = 10.0  # seconds, at most


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds between status requests: doubled from `first` to `longest`; a server's Retry-After up to `patience`."""

    first: float = 1.0
    longest: float = 30.0
    patience: float = 300.0

    def pause(self, polls: int, *, asked: float) -> float:
        """Returns the seconds to wait after the `polls`-th request."""
        return min(asked, self.patience) or min(self.longest, self.first * 2 ** min(polls - 1, 20))


@dataclass(frozen=True, slots=True)
class Page:
    """A manifest, and those of its files that no page had before."""

    manifest: Manifest
    new: tuple[Listed, ...]


async def reach(asker: Asker, order: Order) -> None:
    """Raises CannotExport where no server answers a GET; its answer does not matter, it may ask for a login."""
    try:
        await asker.send("GET", f"{order.base}/metadata", {"Accept": _FHIR_JSON}, limit=MAX_BYTES)
    except NO_ANSWER as error:
        raise CannotExport(f"{order.base}: no answer ({type(error).__name__}). Is the server running?") from error


async def kick_off(asker: Asker, order: Order, method: Method) -> str:
    """Starts the job. Returns the URL of its status. Raises ExportFailed where the server refuses it.

    "auto" posts where the server has no GET of the operation, or the URL would be too long.
    """
    headers = {"Accept": _FHIR_JSON, "Prefer": f"respond-async{', handling=lenient' if order.lenient else ''}"}
    answer: Answer | None = None
    if method == "get" or (method == "auto" and order.fits_in_url):
        answer = await asker.ask("GET", order.url, headers, limit=_SMALL)
    if method == "post" or answer is None or (method == "auto" and answer.status in _POST_ONLY):
        posted = {**headers, "Content-Type": _FHIR_JSON}
        answer = await asker.ask("POST", order.endpoint, posted, limit=_SMALL, body=order.parameters)
    if answer.status != 202:
        raise ExportFailed(answer.told("The kick-off"), over=True)
    status_url = urljoin(order.endpoint, answer.headers.get("Content-Location", ""))
    if not answer.headers.get("Content-Location") or origin_of(status_url) is None:
        raise ExportFailed("The kick-off was answered 202 without a Content-Location", over=True)
    return status_url


async def pages(
    asker: Asker, status_url: str, *, pace: Pace, on_words: Callable[[str], None]
) -> AsyncGenerator[Page, None]:
    """Asks for the status until the job is complete, and yields the manifest's pages as they come.

    `on_words` gets each X-Progress. Raises ExportFailed where the job failed, is not known any more, or the server
    gives no answer for long; the deadline for all is the caller's.
    """
    url, met = status_url, {status_url}
    told: set[str] = set()  # URLs of error files: 3.0 repeats them on each page
    while True:
        seen: dict[Section, int] = {}
        following: str | None = None
        async with aclosing(_polls(asker, url, pace=pace, on_words=on_words)) as polls:
            async for answer in polls:
                manifest = _manifest(answer)
                if manifest is not None:
                    yield Page(manifest, _new(manifest, seen, told))
                    following = manifest.next
                if following is not None:
                    break
        if following is None:
            return
        if following in met or len(met) >= _PAGES:
            raise ExportFailed(f"The manifest's next links go round, or have more than {_PAGES} pages", over=True)
        met.add(following)
        url = following


async def cancel(asker: Asker, status_url: str) -> bool:
    """Tells the server that its files are not needed any more. Returns whether it agrees; waits 10 s at most."""
    try:
        async with asyncio.timeout(_CANCELLING):
            answer = await asker.send("DELETE", status_url, {"Accept": _FHIR_JSON}, limit=_SMALL)
    except (*NO_ANSWER, ExportFailed):
        return False
    return answer.status in {200, 202, 204, *_GONE}


async def _polls(
    asker: Asker, url: str, *, pace: Pace, on_words: Callable[[str], None]
) -> AsyncGenerator[Answer, None]:
    """Yields each answer of 202, with pauses after it, and the answer of 200, which is the last."""
    polls = failures = 0
    while True:
        polls += 1
        try:
            answer = await asker.send("GET", url, {"Accept": "application/json"}, limit=MAX_BYTES)
        except NO_ANSWER as error:
            failures += 1
            if failures >= asker.retries.attempts:
                raise ExportFailed(f"{shown(url)}: no answer ({type(error).__name__})") from error
            await asker.pause(failures)
            continue
        if answer.status in {200, 202}:
            failures = 0
            on_words(answer.headers.get("X-Progress", "")[:200])
            yield answer
            if answer.status == 200:
                return
        elif answer.status == 429:
            polls = max(polls, 4)  # where it does not say for how long: seconds, not one
        elif answer.transient and failures + 1 < asker.retries.attempts:
            failures += 1
            await asker.pause(failures, asked=answer.asked)
            continue
        else:
            raise _failure(answer, transient=answer.transient)
        await asyncio.sleep(pace.pause(polls, asked=answer.asked))


def _failure(answer: Answer, *, transient: bool) -> ExportFailed:
    if answer.status in _GONE:
        return ExportFailed(answer.told("The job is not known to the server any more: its status"), over=True)
    if answer.status in _REFUSED:
        return ExportFailed(answer.told("The status"))
    return ExportFailed(answer.told("The export failed: its status"), over=not transient)


def _manifest(answer: Answer) -> Manifest | None:
    """The manifest in an answer of the status; None: there is none yet."""
    if answer.status == 202 and not is_manifest(answer.body):
        return None
    try:
        return read_manifest(answer.body)
    except BadManifest as error:
        raise ExportFailed(str(error), over=True) from error


def _new(manifest: Manifest, seen: dict[Section, int], told: set[str]) -> tuple[Listed, ...]:
    new: list[Listed] = []
    for section, files in manifest.files.items():
        more = files[seen.get(section, 0) :]
        seen[section] = max(len(files), seen.get(section, 0))
        if section == "error":
            more = tuple(each for each in more if each.url not in told)
            told.update(each.url for each in more)
        new += more
    return tuple(new)
