"""Where manifests and files come from: the interface between a submission and whatever fetches for it.

A `Source` is opened for one manifest of a submission with an `Access`, which says on whose behalf, and yields bodies as
chunks of bytes, plain: without content coding, gzip or encryption. All checks of what may be fetched are its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from fhirstore.submit.submitters import Submitter


@dataclass(frozen=True, slots=True)
class EncryptionKey:
    """`fileEncryptionKey` of a request: the content encryption key, as a JWE for this server's key."""

    system: str
    code: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Access:
    """On whose behalf a manifest and its files are read.

    `headers`: `fileRequestHeader`, for every request. `oauth`: `oauthMetadataUrl`. `encryption`: bodies are encrypted.
    """

    submitter: Submitter
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    oauth: tuple[str, ...] = ()
    encryption: EncryptionKey | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One body. `start`: the first byte of the plain content that is wanted. `etag`: the body must still be that one.

    `token`: an access token is to be sent; `types`: the resource types that it must allow to read.
    """

    url: str
    start: int = 0
    etag: str | None = None
    token: bool = False
    types: tuple[str, ...] = ()


class Opened(Protocol):
    """A body being read: chunks of at most 1 MiB. `size`: bytes of the whole content, where it is known.

    `etag`: names this very content, for a later `Wanted`; None where the source has no such name. `retry_after`:
    seconds after which to ask again, for a manifest whose provider is still at work (HTTP 202); else None.
    """

    size: int | None
    etag: str | None
    retry_after: float | None

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Source(Protocol):
    """Reads the bodies of one manifest."""

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        """Opens a body. Raises SourceFailed, on entering and while it is read; within bounds of time of its own."""
        ...


class Sources(Protocol):
    """Makes sources."""

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        """Returns the source for one manifest; its connections are closed with the block."""
        ...

    def check(self, url: str, access: Access) -> None:
        """Raises SourceFailed for a URL that is refused without a request: its scheme, or a host off the list."""
        ...
