"""Small documents from hosts that the operator has named: key sets of clients, and what an issuer says of itself.

The same care as for files of submitters: addresses are checked where the connection is made, redirects are not
followed, and every wait and every body has a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from urllib.parse import urlsplit

from fhirstore.clock import Clock, SystemClock
from fhirstore.errors import SourceFailed
from fhirstore.submit.fetching.connecting import Lookup, new_session, system_lookup
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.requests import Requests, unexpected
from fhirstore.submit.fetching.targets import Target
from fhirstore.submit.submitters import Submitter

_SECONDS = 10.0  # for all of one document
_LIMITS = FetchLimits(
    connect=5.0, answer=5.0, silence=5.0, patience=5.0, document=256 * 1024, redirects=0, retries=0, longest_wait=0.0
)


class Documents:
    """Fetches documents. `lookup`: resolves names. `tls`: how certificates are verified, None: as the machine does."""

    def __init__(
        self,
        *,
        limits: FetchLimits = _LIMITS,
        lookup: Lookup = system_lookup,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._lookup = lookup
        self._tls = tls
        self._clock = clock or SystemClock()

    async def get(self, url: str, *, plain_http: bool = False, private: bool = False) -> bytes:
        """Returns the document. Raises SourceFailed, which names neither address nor URL.

        `plain_http`: the URL may be of http. `private`: its host may have an address that is not public.
        """
        allowed = _only_host(url, plain_http=plain_http, private=private)
        target = Target.of(url, allowed)
        try:
            async with (
                asyncio.timeout(_SECONDS),
                new_session(self._limits, private=private, lookup=self._lookup, tls=self._tls) as session,
            ):
                requests = Requests(session, allowed, self._limits, self._clock)
                async with requests.get(target, {"Accept": "application/json"}, secret={}) as response:
                    if response.status != 200:
                        raise unexpected(response)
                    return await requests.read(response, self._limits.document)
        except TimeoutError:
            raise SourceFailed("The document did not come in time", code="timeout", again=True) from None


def _only_host(url: str, *, plain_http: bool, private: bool) -> Submitter:
    """Returns what allows the host of this URL, and no other."""
    try:
        parts = urlsplit(url)
        port = parts.port or (80 if parts.scheme == "http" else 443)
        host = parts.hostname or ""
    except ValueError:
        raise SourceFailed("The URL cannot be read", code="value") from None
    shown = f"[{host}]" if ":" in host else host
    return Submitter(
        identifier="documents|documents",
        tenant="documents",
        hosts=(f"{shown}:{port}",),
        plain_http=plain_http,
        private_addresses=private,
    )
