"""The part of the object-store contract on multipart uploads, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from fhirstore.errors import ObjectNotFound, RequestRefused, UploadNotFound
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import Facts
from fhirstore.objects.uploads import PendingUpload
from tests.objects.contract_facts import FACTS
from tests.objects.store_under_test import MIB, StoreUnderTest, every_key, patterned

_PART = 5 * MIB


async def pending(store: ObjectStore, prefix: str = "") -> list[PendingUpload]:
    """All pending uploads, page by page."""
    found: list[PendingUpload] = []
    cursor: str | None = None
    for _ in range(100):
        page = await store.list_uploads(prefix, cursor=cursor)
        found += page.uploads
        cursor = page.cursor
        if cursor is None:
            return found
    pytest.fail("the listing does not end")


class UploadsContract(StoreUnderTest):
    """Create, put parts, complete or abort."""

    async def test_parts_in_any_order_become_one_object(self, store: ObjectStore) -> None:
        """Parts sent in parallel and out of order make the body in the order of their numbers, with the facts."""
        body = patterned(2 * _PART + 1234)
        upload = await store.create_upload("u/big", facts=FACTS)
        pieces = {9: body[2 * _PART :], 2: body[:_PART], 5: body[_PART : 2 * _PART]}
        etags = await asyncio.gather(*(store.put_part("u/big", upload, n, piece) for n, piece in pieces.items()))
        assert await every_key(store, "") == []
        parts = sorted(zip(pieces, etags, strict=True))
        written = await store.complete_upload("u/big", upload, parts)
        info = await store.stat("u/big")
        assert (info.size, info.etag, info.content_type) == (len(body), written.etag, FACTS.content_type)
        assert dict(info.metadata) == FACTS.metadata
        assert await store.get_tags("u/big") == (FACTS.tags if self.tags_follow else {})
        assert (await store.get("u/big")).body == body
        assert await pending(store) == []

    async def test_part_may_be_sent_again(self, store: ObjectStore) -> None:
        """The last one sent under a number counts; the one before cannot be completed any more."""
        upload = await store.create_upload("a")
        first = await store.put_part("a", upload, 1, b"first")
        second = await store.put_part("a", upload, 1, b"second")
        assert first != second
        await store.complete_upload("a", upload, [(1, second)])
        assert (await store.get("a")).body == b"second"

    async def test_parts_that_are_not_named_are_dropped(self, store: ObjectStore) -> None:
        """Only the parts that completion names are in the object."""
        upload = await store.create_upload("a")
        await store.put_part("a", upload, 1, b"x" * _PART)
        etag = await store.put_part("a", upload, 2, b"kept")
        await store.complete_upload("a", upload, [(2, etag)])
        assert (await store.get("a")).body == b"kept"

    async def test_completion_replaces_what_was_there(self, store: ObjectStore) -> None:
        """It is unconditional, and takes the facts of the upload."""
        await store.put("a", b"before", facts=FACTS)
        upload = await store.create_upload("a")
        etag = await store.put_part("a", upload, 1, b"after")
        assert (await store.get("a")).body == b"before"
        await store.complete_upload("a", upload, [(1, etag)])
        assert (await store.get("a")).body == b"after"
        assert dict((await store.stat("a")).metadata) == {}

    async def test_aborted_upload_leaves_nothing(self, store: ObjectStore) -> None:
        """Its parts are gone, it takes no more, and aborting again is no error."""
        upload = await store.create_upload("a")
        etag = await store.put_part("a", upload, 1, b"x")
        await store.abort_upload("a", upload)
        await store.abort_upload("a", upload)
        assert await pending(store) == []
        with pytest.raises(UploadNotFound):
            await store.put_part("a", upload, 2, b"y")
        with pytest.raises(UploadNotFound):
            await store.complete_upload("a", upload, [(1, etag)])
        with pytest.raises(ObjectNotFound):
            await store.get("a")

    async def test_upload_that_never_was(self, store: ObjectStore) -> None:
        """An id that nobody was given is told from all other errors."""
        upload = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
        with pytest.raises(UploadNotFound):
            await store.put_part("a", upload, 1, b"x")
        with pytest.raises(UploadNotFound):
            await store.complete_upload("a", upload, [(1, '"0123456789abcdef0123456789abcdef"')])

    async def test_pending_uploads_are_listed(self, store: ObjectStore) -> None:
        """By prefix, with the time at which they began; two of one key are two."""
        if not self.lists_uploads_by_prefix:
            pytest.skip("this store lists the uploads of one key alone")
        ids = {key: [await store.create_upload(key)] for key in ("l/a/1", "l/a/2", "l/b/1")}
        ids["l/a/1"].append(await store.create_upload("l/a/1"))
        found = await pending(store, "l/a/")
        assert sorted((one.key, one.upload) for one in found) == sorted(
            (key, one) for key in ("l/a/1", "l/a/2") for one in ids[key]
        )
        for one in found:
            self.assert_plausible(one.started)
        assert len(await pending(store, "l/")) == 4
        assert await pending(store, "none/") == []
        await self._abort_all(store, ids)
        assert await pending(store) == []

    async def test_pending_uploads_of_a_key_are_listed(self, store: ObjectStore) -> None:
        """By the whole key: every store knows that prefix."""
        ids = {key: [await store.create_upload(key) for _ in range(2)] for key in ("k/1", "k/2")}
        found = await pending(store, "k/1")
        assert sorted(one.upload for one in found) == sorted(ids["k/1"])
        await self._abort_all(store, ids)
        assert await pending(store, "k/1") == []

    @staticmethod
    async def _abort_all(store: ObjectStore, ids: Mapping[str, Sequence[str]]) -> None:
        for key, uploads in ids.items():
            for upload in uploads:
                await store.abort_upload(key, upload)

    async def test_wrong_parts_are_refused(self, store: ObjectStore) -> None:
        """A part that is missing, or has another ETag, makes no object; the upload goes on and can be completed."""
        upload = await store.create_upload("a")
        etag = await store.put_part("a", upload, 1, b"x")
        other = await store.put_part("a", upload, 2, b"other")
        wrong: list[list[tuple[int, str]]] = [[(3, etag)], [(1, other)], [], [(2, other), (1, etag)]]
        wrong += [[(0, etag)], [(10_001, etag)], [(1, etag), (1, etag)]]
        for parts in wrong:
            with pytest.raises(RequestRefused):
                await store.complete_upload("a", upload, parts)
        assert await every_key(store, "") == []
        await store.complete_upload("a", upload, [(1, etag)])
        assert (await store.get("a")).body == b"x"

    async def test_small_parts_are_refused(self, store: ObjectStore) -> None:
        """Only the last part may have less than 5 MiB."""
        if not self.checks_part_sizes:
            pytest.skip("this server takes parts of any size")
        upload = await store.create_upload("a")
        etags = [(n, await store.put_part("a", upload, n, b"small")) for n in (1, 2)]
        with pytest.raises(RequestRefused):
            await store.complete_upload("a", upload, etags)
        assert await every_key(store, "") == []
        await store.abort_upload("a", upload)

    async def test_part_numbers_are_bounded(self, store: ObjectStore) -> None:
        """1 to 10,000, on every store."""
        upload = await store.create_upload("a")
        for number in (0, -1, 10_001):
            with pytest.raises(RequestRefused):
                await store.put_part("a", upload, number, b"x")
        await store.abort_upload("a", upload)

    async def test_unfit_facts_begin_no_upload(self, store: ObjectStore) -> None:
        """As with PUT."""
        with pytest.raises(RequestRefused):
            await store.create_upload("a", facts=Facts(content_type="x"))
        assert await pending(store) == []

    async def test_stream_that_fails_leaves_no_upload(self, store: ObjectStore) -> None:
        """Neither parts nor an upload are left when the source of a long stream breaks off or its task is cancelled."""
        at_the_end = asyncio.Event()

        async def source(*, fails: bool) -> AsyncIterator[bytes]:
            for _ in range(13):
                yield b"x" * MIB
            at_the_end.set()
            if fails:
                raise ConnectionResetError
            await asyncio.Event().wait()

        with pytest.raises(ConnectionResetError):
            await store.put_stream("a", source(fails=True), part_size=_PART)
        assert await pending(store) == []
        at_the_end.clear()
        task = asyncio.create_task(store.put_stream("a", source(fails=False), part_size=_PART))
        await at_the_end.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await pending(store), await every_key(store, "")) == ([], [])
