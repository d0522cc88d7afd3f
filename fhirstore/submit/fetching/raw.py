"""Bodies as their sources have them: the interface between a kind of source and what makes bodies plain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from fhirstore.submit.source import Wanted


class RawBody(Protocol):
    """A body that is being read. `size`: bytes of the whole body; `start`: the byte that it is read from.

    `name`: of this very content, as an entity tag, quotes included; None where there is none. `coding`: as
    Content-Encoding. `retry_after`: seconds, of a manifest that is not complete yet; the body is empty then.
    """

    size: int | None
    start: int
    name: str | None
    coding: str
    retry_after: float | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class RawSource(Protocol):
    """A kind of source."""

    def open(self, wanted: Wanted, *, start: int, name: str | None) -> AbstractAsyncContextManager[RawBody]:
        """Opens a body. Raises SourceFailed, on entering and while it is read.

        `start`: a byte of the body as it is stored, from which on it is wanted without a coding; the source may begin
        earlier, and says so. `name`: known from before, and a strong one wherever `start` is not 0.
        """
        ...


def is_strong(name: str | None) -> bool:
    """Returns whether a name stands for the same bytes, so that one can be continued."""
    return name is not None and name.startswith('"')
