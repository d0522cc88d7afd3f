"""Key sets by URL: fetched when they are first needed, kept, and fetched again for a key that is not among them.

| what | how often it is fetched |
|---|---|
| a set that was never fetched, or whose last fetch failed | once in `RETRY` seconds |
| a key that the set does not have: the issuer may have a new one | once in `ROTATION` seconds |
| a set that is older than `AGE` seconds | once in `RETRY` seconds, until it succeeds |

So a flood of tokens that name unknown keys costs an issuer a request in half a minute. One task fetches at a time, and
the others wait for it. A set that cannot be fetched anew counts for `LAST` seconds in all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fhirstore.errors import SourceFailed
from server.access.tokens.jws import SignedToken
from server.access.tokens.keys import PublicKey, candidates, read_keys
from server.http.refusal import Refused

AGE = 3_600.0
ROTATION = 30.0
RETRY = 5.0
LAST = 86_400.0
_MOST_SETS = 1_000


class Fetch(Protocol):
    """Fetches a document. `private`: its host may have an address that is not public. Raises SourceFailed."""

    def __call__(self, url: str, *, private: bool = True) -> Awaitable[bytes]: ...


class KeysUnavailable(Refused):
    """503: the keys of a token's issuer, or of a client, cannot be fetched at present."""

    def __init__(self) -> None:
        super().__init__(
            503,
            "The keys that this token is verified with cannot be fetched at present; try again later",
            headers={"Retry-After": str(int(RETRY))},
            code="transient",
        )


class KeySet:
    """The keys at one URL. `fetch`: returns the JWK set. `now`: seconds that only go forward."""

    def __init__(self, fetch: Callable[[], Awaitable[bytes]], *, now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now = now
        self._keys: tuple[PublicKey, ...] | None = None
        self._fetched = self._tried = float("-inf")
        self._one = asyncio.Lock()

    async def keys_for(self, token: SignedToken) -> Sequence[PublicKey]:
        """Returns the keys, those of now where none of them can have signed the token. Raises KeysUnavailable."""
        since = self._now()
        if self._keys is None or since - self._fetched > AGE:
            await self._refresh(since, RETRY)
        if self._keys is not None and not candidates(token, self._keys):
            await self._refresh(since, ROTATION)
        if self._keys is None or self._now() - self._fetched > LAST:
            raise KeysUnavailable
        return self._keys

    async def _refresh(self, since: float, pause: float) -> None:
        """Fetches the keys, unless that was tried within `pause` seconds before `since`, or after it."""
        async with self._one:
            if self._tried > since - pause:
                return
            self._tried = self._now()
            try:
                self._keys = read_keys(await self._fetch())
            except (SourceFailed, ValueError):
                return
            self._fetched = self._tried


class KeySets:
    """The key sets of many URLs. `now`: seconds that only go forward."""

    def __init__(self, fetch: Fetch, *, now: Callable[[], float]) -> None:
        self._fetch = fetch
        self._now = now
        self._sets: dict[str, KeySet] = {}

    def at(self, url: str) -> KeySet:
        """Returns the set at this URL. Of very many, those that came first are forgotten."""
        found = self._sets.get(url)
        if found is None:
            while len(self._sets) >= _MOST_SETS:
                del self._sets[next(iter(self._sets))]
            found = self._sets[url] = KeySet(lambda: self._fetch(url), now=self._now)
        return found
