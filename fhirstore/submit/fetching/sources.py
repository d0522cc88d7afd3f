"""The `Sources` of a server: http and https, buckets, and files of this machine, each as the submitter may use them."""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fhirstore.clock import Clock, Ids, SystemClock, SystemIds
from fhirstore.errors import SourceFailed
from fhirstore.objects.s3.options import S3Options
from fhirstore.submit.fetching.buckets import BucketSource
from fhirstore.submit.fetching.connecting import Lookup, new_session, system_lookup
from fhirstore.submit.fetching.decrypting import Decryption
from fhirstore.submit.fetching.files import FileSource
from fhirstore.submit.fetching.http import HttpSource, request_headers
from fhirstore.submit.fetching.keys import Secrets
from fhirstore.submit.fetching.limits import FetchLimits
from fhirstore.submit.fetching.oauth import Authorization, TokenCache
from fhirstore.submit.fetching.plain import PlainSource
from fhirstore.submit.fetching.raw import RawBody, RawSource
from fhirstore.submit.fetching.requests import Requests
from fhirstore.submit.fetching.targets import BucketObject, Target
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.source import Access, Source, Wanted

_MOST_METADATA = 10


class NetworkSources:
    """Reads what submitters submit. One for a process; it keeps access tokens, and no connection.

    `s3`: how buckets are reached. `secrets`: returns environment variables, which hold the submitters' keys. `lookup`:
    resolves names. `tls`: how certificates are verified, None: as the machine does.
    """

    def __init__(
        self,
        *,
        limits: FetchLimits | None = None,
        s3: S3Options | None = None,
        secrets: Secrets = os.environ.get,
        lookup: Lookup = system_lookup,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._s3 = s3 or S3Options()
        self._secrets = secrets
        self._lookup = lookup
        self._tls = tls
        self._clock = clock or SystemClock()
        self._ids = ids or SystemIds()
        self._tokens = TokenCache()

    def check(self, url: str, access: Access) -> None:
        """Raises SourceFailed for what is refused without a request: a URL, a header, a key that does not fit."""
        submitter = access.submitter
        match scheme_of(url):
            case "file":
                LocalFiles().check(url, access)
            case "s3":
                BucketObject.of(url, submitter)
            case _:
                Target.of(url, submitter)
        if len(access.oauth) > _MOST_METADATA:
            raise SourceFailed(f"More than {_MOST_METADATA} oauthMetadataUrl are given", code="too-costly")
        for one in access.oauth:
            Target.of(one, submitter)
        request_headers(access.headers)
        if access.encryption is not None:
            Decryption.of(access.encryption, submitter.decryption_key, self._secrets)

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        """Returns the source for one manifest. Its connections are closed with the block. Raises SourceFailed."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Source]:
            submitter = access.submitter
            if len(access.oauth) > _MOST_METADATA:
                raise SourceFailed(f"More than {_MOST_METADATA} oauthMetadataUrl are given", code="too-costly")
            headers = request_headers(access.headers)
            decryption = None
            if access.encryption is not None:
                decryption = Decryption.of(access.encryption, submitter.decryption_key, self._secrets)
            async with AsyncExitStack() as held:
                private = submitter.private_addresses
                session = new_session(self._limits, private=private, lookup=self._lookup, tls=self._tls)
                await held.enter_async_context(session)
                requests = Requests(session, submitter, self._limits, self._clock)
                oauth = Authorization(requests, access.oauth, self._secrets, self._tokens, self._clock, self._ids)
                by_scheme = _ByScheme(
                    HttpSource(requests, headers, oauth),
                    BucketSource(submitter, self._s3, held),
                    FileSource(access),
                )
                yield PlainSource(by_scheme, self._limits, decryption)

        return opened()


@dataclass(frozen=True, slots=True)
class _ByScheme:
    """The `RawSource` that is meant by a URL's scheme."""

    http: RawSource
    buckets: RawSource
    files: RawSource = field()

    def open(self, wanted: Wanted, *, start: int, name: str | None) -> AbstractAsyncContextManager[RawBody]:
        match scheme_of(wanted.url):
            case "file":
                source = self.files
            case "s3":
                source = self.buckets
            case _:
                source = self.http
        return source.open(wanted, start=start, name=name)


def scheme_of(url: str) -> str:
    """Returns the scheme of a URL, `http` for anything that is not a URL of another kind."""
    found = url.partition(":")[0]
    return found if found in ("file", "s3") else "http"
