"""One export of the server under test: kicked off, polled to its end, downloaded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from conformance.bulk.kickoff import Kickoff
from conformance.rest.server import Answer, Broken, Json, Server, member, must

PATIENCE = 600.0  # seconds in which an export must be done
_LONGEST_WAIT = 60.0  # seconds between two polls


class Skipped(Exception):
    """The sentence cannot be put to this server; the text says why."""


class Export:
    """An export that is done. `polls`: the answers while it was not; `done`: the last one, with the manifest."""

    def __init__(self, server: Server, version: int, kickoff: Kickoff, accepted: Answer) -> None:
        self.server = server
        self.version = version
        self.kickoff = kickoff
        self.accepted = accepted
        self.polls: list[Answer] = []
        self.partial: list[Json] = []
        self._done: Answer | None = None
        self._files: dict[str, Answer] = {}

    @property
    def status_url(self) -> str:
        """The polling location."""
        return self.accepted.header("Content-Location")

    @property
    def done(self) -> Answer:
        """The answer that has the manifest."""
        must(self._done, "the export is not done")
        return self._done  # type: ignore[return-value] # see above

    @property
    def manifest(self) -> Json:
        """The manifest of the complete export, its first page."""
        return self.done.json()

    @property
    def messages(self) -> str:
        """The name of the manifest's array of messages in this version."""
        return "error" if self.version == 3 else "outcome"

    async def poll(self) -> Answer:
        """One status request."""
        return await self.server.get(self.status_url, {"Accept": "application/json"})

    async def finish(self) -> Export:
        """Polls until it is done, as often as the server says. Raises Broken where it fails or takes too long."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            answer = await self.poll()
            status = _export_status(answer)
            if status == 200:
                self._done = answer
                return self
            must(status in (202, 429), f"the export {self.kickoff} ended with {status}: {answer.body[:500]!r}")
            if status == 202:
                self.polls.append(answer)
                if answer.body and answer.media_type == "application/json":
                    self.partial.append(answer.json())
            await asyncio.sleep(wait_of(answer))
        raise Broken(f"the export {self.kickoff} is not done after {PATIENCE:g} s")

    def items(self, name: str = "output") -> list[Json]:
        """The items of an array of the manifest's first page."""
        items = self.manifest.get(name, [])
        must(
            isinstance(items, list) and all(isinstance(item, dict) for item in items), f"{name} is no array of objects"
        )
        return [dict(item) for item in items] if isinstance(items, list) else []

    def first_url(self) -> str:
        """The URL of the first file."""
        items = self.items()
        must(items and isinstance(items[0].get("url"), str), "output has no file with a URL")
        return str(items[0]["url"])

    async def pages(self) -> list[Json]:
        """The manifest and those that it links to, in order."""
        found, page = [self.manifest], self.manifest
        while url := next_link(page):
            must(len(found) < 1000, "the manifests link for ever")
            page = (await self.server.get(url, {"Accept": "application/json"})).expect(200).json()
            found.append(page)
        return found

    async def all_items(self, name: str = "output") -> list[Json]:
        """The items of an array of all pages."""
        found = []
        for page in await self.pages():
            items = page.get(name, [])
            found += [dict(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return found

    async def download(self, item: Mapping[str, object]) -> Answer:
        """The file of an item, which must be there."""
        url = str(item.get("url"))
        if url not in self._files:
            headers = {"Accept": "application/fhir+ndjson"}
            answer = await self.server.get(url, headers, anonymous=self.manifest.get("requiresAccessToken") is not True)
            self._files[url] = answer.expect(200)
        return self._files[url]

    async def lines(self, name: str = "output", type_: str | None = None) -> list[Json]:
        """The resources in the files of an array, in order; only of files of one type where that is given."""
        found: list[Json] = []
        for item in await self.all_items(name):
            if type_ is None or item.get("type") == type_:
                found += ndjson(await self.download(item))
        return found

    async def resources(self, type_: str | None = None) -> dict[str, Json]:
        """The exported resources by `[type]/[id]`."""
        return {f"{one.get('resourceType')}/{one.get('id')}": one for one in await self.lines("output", type_)}

    async def remove(self) -> None:
        """Tells the server that the export is no longer needed."""
        await self.server.delete(self.status_url)


def ndjson(answer: Answer) -> list[Json]:
    """The lines of a file, each a resource. Raises Broken where one is not."""
    found = []
    for number, line in enumerate(answer.body.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Broken(f"{answer.asked}: line {number} is not JSON") from error
        must(isinstance(member(value, "resourceType"), str), f"{answer.asked}: line {number} is no resource")
        found.append(dict(value))
    return found


def next_link(manifest: Json) -> str | None:
    """The URL of the manifest after this one."""
    links = manifest.get("link")
    for link in links if isinstance(links, list) else []:
        if member(link, "relation") == "next":
            return str(member(link, "url"))
    return None


def wait_of(answer: Answer) -> float:
    """How long to wait after this answer, in seconds, as Retry-After says; a second where it says nothing."""
    text = answer.headers.get("Retry-After", "1")
    try:
        seconds = float(text) if text.isdigit() else parsedate_to_datetime(text).timestamp() - time.time()
    except ValueError as error:
        raise Broken(f"{answer.asked}: Retry-After is neither seconds nor a date") from error
    return min(max(seconds, 0.1), _LONGEST_WAIT)


def _export_status(answer: Answer) -> int:
    """The status of the export: that of the answer, or X-Export-Status."""
    told = answer.headers.get("X-Export-Status", "")
    if answer.status == 200 and told[:3].isdigit():
        return int(told[:3])
    return answer.status
