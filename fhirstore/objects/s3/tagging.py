"""Tags of objects: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from fhirstore.errors import ObjectError, ObjectNotFound, OutcomeUnknown, StoreBusy, StoreCannot, StoreUnavailable
from fhirstore.objects.s3.answers import read_tags, tagging_request
from fhirstore.objects.s3.bucket import Bucket, md5
from fhirstore.objects.s3.failures import Failure

_TAGGING = (("tagging", ""),)


class Tags:
    """The tags of the objects in one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def get(self, key: str) -> Mapping[str, str]:
        """As `ObjectStore.get_tags`. One request."""

        async def send() -> Mapping[str, str]:
            try:
                answer = await self._bucket.ask(key, "GET", partial(self._unread, key), parameters=_TAGGING)
            except _Untagged:
                return {}
            return read_tags(answer.body)

        return await self._bucket.repeated(f"GET {key}", send, (StoreBusy, StoreUnavailable))

    async def set(self, key: str, tags: Mapping[str, str]) -> None:
        """As `ObjectStore.set_tags`. One request, of any number of repeats."""
        body = tagging_request(tags)

        async def send() -> None:
            await self._bucket.ask(
                key,
                "PUT",
                partial(self._bucket.failures.operating, key),
                parameters=_TAGGING,
                headers={"Content-MD5": md5(body), "Content-Type": "application/xml"},
                body=body,
            )

        await self._bucket.repeated(f"PUT {key}", send, (StoreBusy, OutcomeUnknown))

    def _unread(self, key: str, failure: Failure) -> ObjectError:
        if failure.code in ("NoSuchTagSet", "NoSuchTagSetError"):
            return _Untagged(key)
        if failure.status == 501:
            return StoreCannot(key, "this S3 server keeps no tags")
        return self._bucket.failures.reading(key, failure, date=0)


class _Untagged(ObjectNotFound):
    """The object is there and has no tags; some servers call that an error."""
