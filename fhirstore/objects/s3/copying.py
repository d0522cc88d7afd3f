"""Copies of objects that the store makes by itself: one CopyObject up to 5 GB, an upload of copied ranges above that.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/CopyingObjectsMPUapi.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

from fhirstore.errors import OutcomeUnknown, PreconditionFailed, StoreBusy
from fhirstore.objects.facts import Facts, ObjectInfo
from fhirstore.objects.s3.answers import quoted, read_text
from fhirstore.objects.s3.bucket import Bucket
from fhirstore.objects.s3.carried import carrying
from fhirstore.objects.s3.encryption import encrypting
from fhirstore.objects.s3.signing import encode
from fhirstore.objects.s3.tagging import Tags
from fhirstore.objects.s3.uploads import Uploads

WHOLE = 5 * 1024 * 1024 * 1024
"""Bytes of the largest object that one CopyObject copies."""

RANGE = 1024 * 1024 * 1024
"""Bytes of a copied range; a store copies some at once."""

_AT_ONCE = 4  # ranges
_SLOWEST = 10 * 1024 * 1024  # bytes per second at which a store copies


class Copies:
    """Copies objects within one bucket."""

    def __init__(self, bucket: Bucket, uploads: Uploads, tags: Tags) -> None:
        self._bucket = bucket
        self._uploads = uploads
        self._tags = tags

    async def copy(self, source: ObjectInfo, target: str, facts: Facts | None) -> str:
        """Copy `source` to the key `target`. Returns the ETag. The commit point is the store's.

        Where the source is replaced meanwhile, the copy is of the one or the other. Raises as `ObjectStore.copy`.
        """
        if source.size > WHOLE:
            return await self._by_ranges(source, target, facts)
        if facts is None and source.key == target:
            facts = await self._facts_of(source)  # S3 refuses a copy onto itself that changes nothing
        directive = "COPY" if facts is None else "REPLACE"
        headers = {
            **carrying(facts),
            **encrypting(self._bucket.encryption, target),
            **self._source(source),
            "x-amz-metadata-directive": directive,
            "x-amz-tagging-directive": directive,
        }
        return await self._copied(target, headers, size=source.size)

    async def _by_ranges(self, source: ObjectInfo, target: str, facts: Facts | None) -> str:
        facts = await self._facts_of(source) if facts is None else facts
        size = max(RANGE, -(-source.size // 10_000))
        starts = range(0, source.size, size)
        gate = asyncio.Semaphore(_AT_ONCE)
        same = {"x-amz-copy-source-if-match": source.etag}

        async def one(upload: str, number: int, start: int) -> tuple[int, str]:
            end = min(start + size, source.size)
            headers = {**self._source(source), **same, "x-amz-copy-source-range": f"bytes={start}-{end - 1}"}
            parameters = (("partNumber", str(number)), ("uploadId", upload))
            async with gate:
                return number, await self._copied(target, headers, size=end - start, parameters=parameters)

        upload = await self._uploads.create(target, facts)
        async with self._uploads.aborted_unless_done(target, upload):
            tasks = [asyncio.create_task(one(upload, number, start)) for number, start in enumerate(starts, 1)]
            try:
                etags = await asyncio.gather(*tasks)
            except PreconditionFailed as error:
                raise StoreBusy(target, "the source was replaced while it was copied; copy again") from error
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            return await self._uploads.complete(target, upload, etags)

    async def _copied(
        self, target: str, headers: Mapping[str, str], *, size: int, parameters: tuple[tuple[str, str], ...] = ()
    ) -> str:
        """Send a copy of `size` bytes, of an object or a range. Returns its ETag."""

        async def send() -> str:
            failed = partial(self._bucket.failures.operating, target)
            patience = size / _SLOWEST
            answer = await self._bucket.ask(
                target, "PUT", failed, parameters=parameters, signed=headers, body=b"", patience=patience
            )
            return quoted(read_text(answer.body, "ETag"))

        return await self._bucket.repeated(f"PUT {target}", send, (StoreBusy, OutcomeUnknown))

    async def _facts_of(self, source: ObjectInfo) -> Facts:
        tags = await self._tags.get(source.key)
        return Facts(content_type=source.content_type, metadata=source.metadata, tags=tags)

    def _source(self, source: ObjectInfo) -> dict[str, str]:
        path = f"/{self._bucket.name}/{self._bucket.root}{source.key}"
        return {"x-amz-copy-source": encode(path, keep="/")}
