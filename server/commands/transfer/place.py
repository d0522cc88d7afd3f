"""What an upload or a download asks of a place: a FHIR server, or the store itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


class TransferFailed(Exception):
    """The transfer ends here; the message says why."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an upload promises of its content. `size`: bytes; `sha256`: hex."""

    size: int
    sha256: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an upload is. `gaps`: bytes [start, end) that are still to be sent; none where it takes nothing more."""

    id: str
    part_size: int
    gaps: Sequence[tuple[int, int]]

    @property
    def missing(self) -> int:
        """Bytes that are still to be sent."""
        return sum(end - start for start, end in self.gaps)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a content before it is read. `sha256`: hex, None where the place does not say it."""

    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A content that is being read, from `start` on. `validator`: names its bytes, to go on with them later."""

    start: int
    validator: str | None
    chunks: AsyncIterator[bytes]


class Place(Protocol):
    """Where Binaries are. Each method raises TransferFailed where there is no use in trying again."""

    @property
    def name(self) -> str:
        """The place and the tenant, in one text."""
        ...

    @property
    def retries(self) -> int:
        """How many requests were sent again."""
        ...

    async def begin(self, facts: Facts) -> Standing:
        """Begins an upload in parts."""
        ...

    async def standing(self, id: str) -> Standing | None:
        """Returns how far an upload is; None where nothing more comes of it."""
        ...

    async def send(self, id: str, start: int, total: int, body: bytes) -> None:
        """Sends a part."""
        ...

    async def complete(self, id: str) -> str:
        """Completes an upload, however long that takes. Returns the reference to the Binary."""
        ...

    async def look(self, reference: str) -> Known:
        """Returns what is known of the content of a Binary."""
        ...

    def open(self, reference: str, start: int, validator: str | None) -> AbstractAsyncContextManager[Opened]:
        """Reads the content from `start` on if it still has this validator, else from the beginning.

        Raises Cut where the same may succeed later.
        """
        ...


class Cut(Exception):
    """The connection was lost, or the place is busy. `asked`: seconds that it wants to be left alone."""

    def __init__(self, message: str, *, asked: float = 0.0) -> None:
        super().__init__(message)
        self.asked = asked
