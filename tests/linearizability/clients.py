"""Clients that read and write the same few resources through all servers at once, and write down what they saw."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import aiohttp

from tests.linearizability.history import DELETED, Kind, Operation, Result

HOT, COLD = 3, 40
TYPE = "Basic"
_AT_ONCE = 10  # requests to one server, so that one that is stopped does not keep all clients waiting
_NEVER_SENT = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_TAG = re.compile(r'W/"(\d+)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, in the words of a history."""

    status: int
    version: int | None
    content: str | None
    id: str
    body: bytes


class Clients:
    """Everything they do goes to `operations`. `surprises`: answers that no server should give."""

    def __init__(self, session: aiohttp.ClientSession, urls: Callable[[], list[str]], chance: random.Random) -> None:
        self.operations: list[Operation] = []
        self.surprises: list[str] = []
        self.over = False
        self._session = session
        self._urls = urls
        self._chance = chance
        self._tokens = itertools.count(1)
        self._ids = [f"hot-{n}" for n in range(HOT)] + [f"cold-{n}" for n in range(COLD)]
        self._under_way: Counter[str] = Counter()
        self._seen: dict[str, int] = {}  # id -> the highest version anybody heard of

    async def work(self) -> None:
        """One client: one request after the other, until `over`."""
        act = (self._update, self._read, self._vread, self._delete, self._create)
        while not self.over:
            (next_,) = self._chance.choices(act, weights=(38, 30, 18, 8, 6))
            id_ = self._chance.choice(self._ids[:HOT] if self._chance.random() < 0.6 else self._ids)
            await next_(id_)
            await asyncio.sleep(self._chance.uniform(0.0, 0.01))

    async def _update(self, id_: str) -> None:
        token = self._token()
        if_match = self._if_match(id_)
        blank = Operation(Kind.UPDATE, id_, 0, 0, Result.UNKNOWN, token=token, if_match=if_match)
        await self._request(blank, "PUT", f"/{id_}", body=_resource(token, id_))

    async def _delete(self, id_: str) -> None:
        blank = Operation(Kind.DELETE, id_, 0, 0, Result.UNKNOWN, if_match=self._if_match(id_))
        await self._request(blank, "DELETE", f"/{id_}")

    async def _read(self, id_: str) -> None:
        await self._request(Operation(Kind.READ, id_, 0, 0, Result.UNKNOWN), "GET", f"/{id_}")

    async def _vread(self, id_: str) -> None:
        newest = self._seen.get(id_, 0) + 1  # one that may be on its way
        asked = max(1, newest - int(self._chance.expovariate(0.3)))
        blank = Operation(Kind.VREAD, id_, 0, 0, Result.UNKNOWN, asked=asked)
        await self._request(blank, "GET", f"/{id_}/_history/{asked}")

    async def _create(self, _: str) -> None:
        """With an Idempotency-Key, so that it may be repeated until it is answered, and all that is one operation."""
        token = self._token()
        blank = Operation(Kind.CREATE, "", time.monotonic_ns(), 0, Result.UNKNOWN, token=token)
        while not self.over:
            made = await self._request(blank, "POST", "", body=_resource(token), key=f"key-{token}")
            if made is None or made.result is Result.DONE:
                return
            await asyncio.sleep(0.1)

    async def _request(
        self, blank: Operation, method: str, path: str, *, body: bytes | None = None, key: str | None = None
    ) -> Operation | None:
        """Send; fill in `blank` and note it. None: it was certainly not sent, or no such answer should be."""
        urls = [url for url in self._urls() if self._under_way[url] < _AT_ONCE]
        if not urls:
            await asyncio.sleep(0.05)
            return blank if key else None
        headers = {"Content-Type": "application/fhir+json"} if body is not None else {}
        if blank.if_match is not None:
            headers["If-Match"] = f'W/"{blank.if_match}"'
        if key is not None:
            headers["Idempotency-Key"] = key
        patience = aiohttp.ClientTimeout(total=self._chance.choice((1.0, 3.0, 3.0, 20.0)))
        base = self._chance.choice(urls)
        url = f"{base}/{TYPE}{path}"
        start = blank.start or time.monotonic_ns()
        self._under_way[base] += 1
        try:
            async with self._session.request(method, url, data=body, headers=headers, timeout=patience) as response:
                answer = _answer(response.status, response.headers, await response.read())
        except _NEVER_SENT:
            await asyncio.sleep(0.05)
            return blank if key else None
        except (aiohttp.ClientError, TimeoutError):
            answer = None
        finally:
            self._under_way[base] -= 1
        done = replace(blank, start=start, end=time.monotonic_ns())
        if answer is not None:
            told = _told(done, answer)
            if told is None:
                self.surprises.append(f"answered {answer.status}: {answer.body[:300]!r} to {done}")
                return None
            done = told
        if done.version:
            self._seen[done.id] = max(done.version, self._seen.get(done.id, 0))
        if done.kind is Kind.CREATE:
            if done.result is not Result.DONE:
                return done
            self._ids.append(done.id)
        self.operations.append(done)
        return done

    def _if_match(self, id_: str) -> int | None:
        """The newest version seen of it, half of the time; an entity tag names no version before the first."""
        return self._seen.get(id_) if self._chance.random() < 0.5 else None

    def _token(self) -> str:
        return str(next(self._tokens))


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    tag = _TAG.fullmatch(headers.get("ETag", ""))
    content = hashlib.sha256(body).hexdigest()[:16] if status in (200, 201) else None
    if status == 410 or (status == 204 and tag):
        content = DELETED
    id_ = headers["Location"].split("/")[-3] if "Location" in headers else ""
    return Answer(status, int(tag[1]) if tag else None, content, id_, body)


def _told(operation: Operation, answer: Answer) -> Operation | None:
    """What the answer means for the operation; None: it should never be."""
    writes = operation.kind in (Kind.CREATE, Kind.UPDATE, Kind.DELETE)
    seen = replace(operation, version=answer.version or 0, content=answer.content, created=answer.status == 201)
    if answer.status in ((200, 201, 204) if writes else (200, 410)):
        return replace(seen, result=Result.DONE, id=answer.id or operation.id)
    if answer.status == 404 and operation.kind is Kind.READ:
        return replace(seen, result=Result.DONE)
    if answer.status == 404 and operation.kind is Kind.VREAD:
        return replace(operation, result=Result.FAILED)
    if answer.status == 412 and operation.if_match is not None:
        return replace(seen, result=Result.FAILED)
    if answer.status == 503:
        return replace(operation, result=Result.FAILED if writes else Result.UNKNOWN)
    if answer.status == 504:
        return operation
    return None


def _resource(token: str, id_: str | None = None) -> bytes:
    resource: dict[str, object] = {"resourceType": TYPE, "code": {"text": token}}
    return json.dumps(resource if id_ is None else resource | {"id": id_}).encode()
