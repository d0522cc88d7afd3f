"""Uploads to and downloads from a FHIR server of this kind: Binary/$presign-upload, parts, Binary/$complete-upload.

Requests are sent again as `Retries` says; each of them may be, since none does anything twice.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from server.commands.export.asking import Answer, Asker, ExportFailed
from server.commands.retries import BUSY, NO_ANSWER
from server.commands.transfer.place import Cut, Facts, Known, Opened, Standing, TransferFailed
from server.commands.urls import shown

_JSON = "application/fhir+json"
_LIMIT = 4 << 20  # bytes of an answer
_ASKED = {"Accept": _JSON, "Content-Type": _JSON}
_NO_MORE = frozenset({"done", "refused", "expired", "aborted"})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_LONGEST_PAUSE = 30.0  # seconds between two questions whether a completion is at its end


class RemotePlace:
    """The FHIR server at `base`."""

    def __init__(self, asker: Asker, base: str, *, tenant: str | None) -> None:
        self.name = f"{base} {tenant}" if tenant else base
        self._asker = asker
        self._base = base

    @property
    def retries(self) -> int:
        return self._asker.repeated

    async def begin(self, facts: Facts) -> Standing:
        told = await self._operation(
            "presign-upload",
            {
                "method": {"valueCode": "parts"},
                "contentType": {"valueCode": facts.content_type},
                "size": {"valueDecimal": facts.size},
                "sha256": {"valueString": facts.sha256},
            },
        )
        id_, part_size = told.get("uploadId"), told.get("partSize")
        if told.status != 200 or not isinstance(id_, str) or not isinstance(part_size, int):
            raise TransferFailed(told.answer.told("The begin of an upload"))
        return Standing(id_, part_size, ((0, facts.size),))

    async def standing(self, id: str) -> Standing | None:
        answer = await self._ask("GET", f"{self._base}/_upload/{id}", {"Accept": _JSON})
        if answer.status in (404, 410):
            return None
        told = _Told(answer)
        part_size = told.get("partSize")
        if answer.status != 200 or not isinstance(part_size, int):
            raise TransferFailed(answer.told("The upload that was begun before"))
        status = told.get("status")
        if status in _NO_MORE - {"done"}:
            return None
        return Standing(id, part_size, told.gaps() if status == "open" else ())

    async def send(self, id: str, start: int, total: int, body: bytes) -> None:
        headers = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{total}", "Accept": _JSON}
        headers["Content-Type"] = "application/octet-stream"
        answer = await self._ask("PUT", f"{self._base}/_upload/{id}", headers, body)
        if answer.status not in (200, 204):
            raise TransferFailed(answer.told(f"The part at {start:,}"))

    async def complete(self, id: str) -> str:
        pause = 1.0
        while True:
            told = await self._operation("complete-upload", {"uploadId": {"valueString": id}})
            if told.status in (200, 201):
                reference = _reference(told.answer.headers.get("Location", ""))
                if reference is None:
                    raise TransferFailed("The server made a Binary, and does not say which: its answer has no Location")
                return reference
            if told.status != 202:
                raise TransferFailed(told.answer.told("The completion of the upload"))
            await asyncio.sleep(max(told.answer.asked, pause))
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    async def look(self, reference: str) -> Known:
        answer = await self._ask("HEAD", f"{self._base}/{reference}", {"Accept": "*/*", "Accept-Encoding": "identity"})
        if answer.status != 200:
            raise TransferFailed(f"{shown(f'{self._base}/{reference}')} was answered {answer.status}")
        length = answer.headers.get("Content-Length", "")
        return Known(int(length) if length.isdigit() else None, _sha256(answer.headers))

    @asynccontextmanager
    async def open(self, reference: str, start: int, validator: str | None) -> AsyncIterator[Opened]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        if start and validator is not None:
            headers |= {"Range": f"bytes={start}-", "If-Range": validator}
        try:
            async with self._asker.open("GET", f"{self._base}/{reference}", headers) as response:
                at = _start(response, start)
                yield Opened(at, _validator(response.headers), _chunks(response))
        except NO_ANSWER as error:
            raise Cut(f"The connection failed ({type(error).__name__})") from error
        except ExportFailed as error:
            raise TransferFailed(str(error)) from error
        except _Busy as busy:
            raise Cut(str(busy), asked=busy.asked(self._asker)) from busy

    async def _operation(self, name: str, given: Mapping[str, Mapping[str, object]]) -> _Told:
        listed = [{"name": each, **value} for each, value in given.items()]
        body = msgspec.json.encode({"resourceType": "Parameters", "parameter": listed})
        return _Told(await self._ask("POST", f"{self._base}/Binary/${name}", _ASKED, body))

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        try:
            return await self._asker.ask(method, url, headers, limit=_LIMIT, body=body)
        except ExportFailed as error:
            raise TransferFailed(str(error)) from error


class _Busy(Exception):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        super().__init__(f"The server answered {response.status}")
        self._response = response

    def asked(self, asker: Asker) -> float:
        return asker.asked_in(self._response)


class _Told:
    """An answer that is a Parameters resource; one that is none has no parameters."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.status = answer.status
        try:
            found = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            found = None
        listed = found.get("parameter") if isinstance(found, dict) else None
        self._listed = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []

    def get(self, name: str) -> object:
        """Returns the value of the first parameter with this name; None without."""
        return next((_value(one) for one in self._listed if one.get("name") == name), None)

    def gaps(self) -> list[tuple[int, int]]:
        """Returns the bytes [start, end) that are missing."""
        found = []
        for one in self._listed:
            parts = one.get("part")
            if one.get("name") == "missing" and isinstance(parts, list):
                ends = {part.get("name"): _value(part) for part in parts if isinstance(part, dict)}
                start, end = ends.get("start"), ends.get("end")
                if isinstance(start, int) and isinstance(end, int):
                    found.append((start, end))
        return found


def _value(parameter: Mapping[str, object]) -> object:
    return next((value for name, value in parameter.items() if name.startswith("value")), None)


def _reference(location: str) -> str | None:
    found = re.search(r"/(Binary/[A-Za-z0-9.-]{1,64})(?:/_history/\d+)?$", location)
    return None if found is None else found[1]


def _sha256(headers: Mapping[str, str]) -> str | None:
    found = _DIGEST.search(headers.get("Repr-Digest", ""))
    try:
        return None if found is None else base64.b64decode(found[1], validate=True).hex()
    except binascii.Error:
        return None


def _validator(headers: Mapping[str, str]) -> str | None:
    etag = headers.get("ETag", "").strip()
    return etag if etag.startswith('"') else None


def _start(response: aiohttp.ClientResponse, asked: int) -> int:
    """Returns where the bytes of an answer begin. Raises _Busy, TransferFailed."""
    if response.status == 200:
        return 0
    if response.status == 206:
        told = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if told is not None and int(told[1]) == asked:
            return asked
        raise TransferFailed("The server sent another range than it was asked for")
    if response.status in BUSY or response.status in (408, 500):
        raise _Busy(response)
    raise TransferFailed(f"{shown(str(response.url))} was answered {response.status}")


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for piece in response.content.iter_any():
        yield piece
