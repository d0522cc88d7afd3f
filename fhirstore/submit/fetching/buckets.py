"""Objects of buckets as a source: `s3://bucket/key`, in the buckets that the submitter's configuration names.

Credentials, region and endpoint are the server's own; a bucket only needs to allow them s3:GetObject.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from fhirstore.clock import SystemClock
from fhirstore.errors import ObjectError, ObjectNotFound, SourceFailed, StoreMisconfigured
from fhirstore.objects.base import ObjectStore, ObjectStream
from fhirstore.objects.s3.options import S3Location, S3Options
from fhirstore.objects.s3.session import S3Session
from fhirstore.objects.s3.store import S3Store
from fhirstore.submit.fetching.raw import RawBody
from fhirstore.submit.fetching.targets import BucketObject
from fhirstore.submit.source import Wanted
from fhirstore.submit.submitters import Submitter


@dataclass(slots=True)
class BucketSource:
    """The `RawSource` of buckets. `held`: closes what is opened."""

    submitter: Submitter
    options: S3Options
    held: AsyncExitStack = field(repr=False)
    _buckets: dict[str, ObjectStore] = field(default_factory=dict)

    def open(self, wanted: Wanted, *, start: int, name: str | None) -> AbstractAsyncContextManager[RawBody]:
        """Opens an object; 1 request."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[RawBody]:
            target = BucketObject.of(wanted.url, self.submitter)
            async with AsyncExitStack() as stack:
                with _Translated():
                    bucket = await self._bucket(target.bucket)
                    stream = await stack.enter_async_context(bucket.get_stream(target.key, start=start))
                etag = stream.etag.strip('"')
                yield _ObjectBody(stream.size, start, f'"{etag}"', stream)

        return opened()

    async def _bucket(self, name: str) -> ObjectStore:
        """Returns the store of a bucket. It is not probed: reading is all that is needed of it."""
        if name not in self._buckets:
            session = await S3Session.open(S3Location(name, ""), self.options)
            store = S3Store(session, self.options, SystemClock())
            self.held.push_async_callback(store.aclose)
            self._buckets[name] = store
        return self._buckets[name]


@dataclass(slots=True)
class _ObjectBody:
    """A `RawBody`."""

    size: int | None
    start: int
    name: str | None
    _stream: ObjectStream = field(repr=False)
    coding: str = ""
    retry_after: float | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _Translated():
            async for chunk in self._stream:
                yield chunk


class _Translated:
    """Raises SourceFailed for what a store raises."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ObjectNotFound):
            raise SourceFailed("The bucket has no such object", code="not-found") from None
        if isinstance(error, StoreMisconfigured):
            raise SourceFailed("The bucket cannot be read with this server's credentials", code="security") from None
        if isinstance(error, ObjectError):
            raise SourceFailed("The bucket cannot be read at present", code="transient", again=True) from None
