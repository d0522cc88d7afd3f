"""Afterwards: what is on the store, read through one fresh server, whether everything can be written to again, and
whether the store is as its format says."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterable, Mapping

import aiohttp

from tests.linearizability.clients import TYPE
from tests.linearizability.history import DELETED, Committed
from tests.server.processes import run_command

_AT_ONCE = 16
_TAG = re.compile(r'W/"(\d+)"')
_PATIENCE = aiohttp.ClientTimeout(total=120)


def fsck(env: Mapping[str, str]) -> list[str]:
    """What `fhirstore fsck --deep` finds, but for what the sweeper may remove."""
    checked = run_command(env, "fsck", "--deep", "--json")
    return [] if checked.returncode == 0 else [f"fsck: {(checked.stdout + checked.stderr)[:2000]}"]


class Audit:
    """Reads below the FHIR base `url`. `found`: what is wrong."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.found: list[str] = []
        self._session = session
        self._url = url
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def versions(self, ids: Iterable[str]) -> dict[str, list[Committed]]:
        """All versions of each id; a version that cannot be read is a finding."""
        ids = list(ids)
        return dict(zip(ids, await asyncio.gather(*[self._versions(id_) for id_ in ids]), strict=True))

    async def write_once_more(self, newest: dict[str, int]) -> None:
        """What others left half done is in nobody's way: the next version of each id can be written at once."""
        await asyncio.gather(*[self._write(id_, version) for id_, version in newest.items()])

    async def _versions(self, id_: str) -> list[Committed]:
        status, tag, _ = await self._get(f"/{id_}")
        if status not in (200, 404, 410):
            self.found.append(f"reading {id_} answered {status}")
        beyond, _, _ = await self._get(f"/{id_}/_history/{tag + 1}")
        if beyond != 404:
            self.found.append(f"{id_} is at version {tag}, and yet version {tag + 1} answered {beyond}")
        return await asyncio.gather(*[self._version(id_, number) for number in range(1, tag + 1)])

    async def _version(self, id_: str, number: int) -> Committed:
        status, tag, body = await self._get(f"/{id_}/_history/{number}")
        if status == 410 and tag == number:
            return Committed(DELETED)
        if status != 200 or tag != number:
            self.found.append(f"version {number} of {id_} answered {status} with version {tag}")
            return Committed(f"unreadable {number}", token=f"unreadable {number}")
        resource = json.loads(body)
        digest = hashlib.sha256(body).hexdigest()[:16]
        return Committed(digest, token=resource["code"]["text"], updated=resource["meta"]["lastUpdated"])

    async def _get(self, path: str) -> tuple[int, int, bytes]:
        async with self._turn, self._session.get(f"{self._url}/{TYPE}{path}", timeout=_PATIENCE) as response:
            tag = _TAG.fullmatch(response.headers.get("ETag", ""))
            return response.status, int(tag[1]) if tag else 0, await response.read()

    async def _write(self, id_: str, version: int) -> None:
        body = {"resourceType": TYPE, "id": id_, "code": {"text": "afterwards"}}
        put = self._session.put(f"{self._url}/{TYPE}/{id_}", json=body, timeout=_PATIENCE)
        async with self._turn, put as response:
            if response.status not in (200, 201) or response.headers["ETag"] != f'W/"{version + 1}"':
                self.found.append(f"{id_} at version {version} could not be written: {response.status}")
