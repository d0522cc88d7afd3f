"""The log of a job: parts of JSON lines, each written once, so that it can be read while the job runs.

`{"t":1763611897123,"epoch":2,"event":"part","type":"Patient","count":4711}`

A part has at most `PART_LINES` lines and about `PART_BYTES`; a run writes at most `PARTS` parts, the last of which says
that the log is full. Longer texts are cut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from fhirstore.errors import CorruptRecord, FhirStoreError, ObjectNotFound, PreconditionFailed
from fhirstore.format.keyspace import JobKeys
from fhirstore.objects.base import IF_ABSENT, ObjectStore
from fhirstore.objects.folders import list_all

PART_LINES = 256
PART_BYTES = 64 * 1024
PARTS = 512
_LONGEST = 500  # characters of a text

_decode_line = msgspec.json.Decoder(dict[str, object]).decode

Field = str | int | float | bool | None


class JobLog:
    """The lines of one run that are not written yet. They are written by `flush`."""

    def __init__(self, objects: ObjectStore, keys: JobKeys, epoch: int) -> None:
        self._objects = objects
        self._keys = keys
        self._epoch = epoch
        self._lines: list[bytes] = []
        self._sending = b""  # a part whose PUT was not answered yet
        self._part = 0
        self._last = 0

    def add(self, t: int, event: str, **fields: Field) -> None:
        """Adds a line; drops it where the log is full. `t`: epoch ms."""
        self._last = t
        if self._part < PARTS and len(self._lines) < 4 * PART_LINES:
            cut = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in fields.items()}
            self._lines.append(msgspec.json.encode({"t": t, "epoch": self._epoch, "event": event, **cut}))

    @property
    def is_full_part(self) -> bool:
        """Whether there are enough lines for a part."""
        return len(self._lines) >= PART_LINES

    async def flush(self) -> None:
        """Writes the lines that there are. A store that does not answer only delays them."""
        while (self._lines or self._sending) and self._part < PARTS:
            self._sending = self._sending or self._next_part()
            key = self._keys.log(self._epoch, self._part)
            try:
                await self._objects.put(key, self._sending, condition=IF_ABSENT)
            except PreconditionFailed:
                pass  # an earlier try was applied, though it was not answered
            except FhirStoreError:
                return
            self._sending = b""
            self._part += 1

    def _next_part(self) -> bytes:
        lines: list[bytes] = []
        size = 0
        for line in self._lines[:PART_LINES]:
            if lines and size + len(line) > PART_BYTES:
                break
            lines.append(line)
            size += len(line) + 1
        del self._lines[: len(lines)]
        if self._part == PARTS - 1:
            lines.append(msgspec.json.encode({"t": self._last, "epoch": self._epoch, "event": "the log is full"}))
        return b"\n".join(lines) + b"\n"


async def read_log(objects: ObjectStore, keys: JobKeys) -> AsyncIterator[dict[str, object]]:
    """Yields the lines of all parts, run by run. 1 LIST per 1,000 parts and 1 GET per part. Raises CorruptRecord."""
    async for item in list_all(objects, keys.logs):
        try:
            body = (await objects.get(item.key)).body
        except ObjectNotFound:
            continue  # the job is being removed
        for line in body.splitlines():
            try:
                yield _decode_line(line)
            except msgspec.MsgspecError as error:
                raise CorruptRecord(item.key) from error
