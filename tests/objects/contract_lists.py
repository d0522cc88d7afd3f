"""The part of the object-store contract on LIST and batch deletes: prefixes, pages, folders."""

from __future__ import annotations

import pytest

from fhirstore.objects.base import ObjectStore, Page
from tests.objects.store_under_test import StoreUnderTest, every_key, pages


class ListsContract(StoreUnderTest):
    """Many objects, listed and deleted."""

    async def test_list_of_nothing_is_empty(self, store: ObjectStore) -> None:
        """A prefix without keys lists as one empty page, with or without a delimiter."""
        await store.put("other", b"x")
        assert await store.list("none/") == Page((), (), None)
        assert await store.list("none/", delimiter=True) == Page((), (), None)
        assert await store.list("other/", limit=1) == Page((), (), None)

    async def test_prefix_selects_by_characters(self, store: ObjectStore) -> None:
        """A prefix that ends at a folder gives that folder only, not its neighbours that begin alike."""
        await self.fill(store, ["p/a/1", "p/a-b/1", "p/a.b/1", "p/ab/1", "p/b/1", "q/a/1"])
        assert await every_key(store, "p/a/") == ["p/a/1"]
        assert sorted(await every_key(store, "p/")) == ["p/a-b/1", "p/a.b/1", "p/a/1", "p/ab/1", "p/b/1"]

    async def test_flat_folder_lists_in_byte_order(self, store: ObjectStore) -> None:
        """Within one folder keys come in the order of their bytes, pages included."""
        names = ["1", "10", "2", "A", "B", "Z", "_", "a", "a-b", "a.b", "a1", "aB", "ab", "b"]
        await self.fill(store, [f"flat/{name}" for name in reversed(names)])
        expected = sorted(f"flat/{name}" for name in names)
        assert await every_key(store, "flat/") == expected
        assert await every_key(store, "flat/", limit=3) == expected

    async def test_start_after_is_exclusive(self, store: ObjectStore) -> None:
        """A listing starts behind the key given, whether that key exists or not."""
        await self.fill(store, [f"s/{number:02}" for number in range(10)])
        assert await every_key(store, "s/", start_after="s/06") == ["s/07", "s/08", "s/09"]
        assert await every_key(store, "s/", start_after="s/065") == ["s/07", "s/08", "s/09"]
        assert await every_key(store, "s/", start_after="s/09") == []
        assert len(await every_key(store, "s/", start_after="a")) == 10
        assert await every_key(store, "s/", start_after="s/01", limit=3) == [f"s/{n:02}" for n in range(2, 10)]

    async def test_limit_bounds_a_page(self, store: ObjectStore) -> None:
        """A page holds at most `limit` keys and has a cursor exactly when keys are left."""
        await self.fill(store, [f"n/{number}" for number in range(5)])
        page = await store.list("n/", limit=2)
        assert (len(page.objects), page.cursor is None) == (2, False)
        assert (await store.list("n/", limit=6)).cursor is None
        assert (await store.list("n/")).cursor is None

    @pytest.mark.parametrize("limit", [1, 3, 7, 1000])
    async def test_pages_skip_and_repeat_nothing(self, store: ObjectStore, limit: int) -> None:
        """Going on with each page's cursor gives every key of nested folders once, whatever the page size."""
        keys = [
            f"tree/{folder}/{name}" for folder in ("a", "a-b", "a.b", "a/x", "b") for name in ("1", "2", "c/d", "c-d")
        ]
        await self.fill(store, [*keys, "tree-other/1", "tre"])
        listed = await every_key(store, "tree/", limit=limit)
        assert sorted(listed) == sorted(set(keys))

    async def test_delimiter_rolls_up_folders(self, store: ObjectStore) -> None:
        """With a delimiter, deeper keys appear once as their folder, which ends with `/`."""
        await self.fill(store, ["r/1", "r/a/1", "r/a/2", "r/a/b/3", "r/a-b/1", "r/a.json", "r/z/1"])
        page = await store.list("r/", delimiter=True)
        assert [listed.key for listed in page.objects] == ["r/1", "r/a.json"]
        assert sorted(page.prefixes) == ["r/a-b/", "r/a/", "r/z/"]
        assert page.cursor is None
        inner = await store.list("r/a/", delimiter=True)
        assert ([listed.key for listed in inner.objects], inner.prefixes) == (["r/a/1", "r/a/2"], ("r/a/b/",))

    @pytest.mark.parametrize("limit", [1, 2, 3])
    async def test_rolled_up_pages_skip_and_repeat_nothing(self, store: ObjectStore, limit: int) -> None:
        """Paging a rolled-up listing gives every folder and every key once; both count towards the limit."""
        await self.fill(store, [f"r/{folder}/{n}" for folder in ("a", "a-b", "b", "c") for n in range(4)])
        await self.fill(store, ["r/a.json", "r/b1", "r/zz"])
        objects: list[str] = []
        prefixes: list[str] = []
        async for page in pages(store, "r/", delimiter=True, limit=limit):
            assert len(page.objects) + len(page.prefixes) <= limit
            objects += [listed.key for listed in page.objects]
            prefixes += page.prefixes
        assert sorted(objects) == ["r/a.json", "r/b1", "r/zz"]
        assert sorted(prefixes) == ["r/a-b/", "r/a/", "r/b/", "r/c/"]

    async def test_many_keys_are_paged_and_deleted(self, store: ObjectStore) -> None:
        """More keys than a request takes are listed page by page and removed at once, absent ones included."""
        keys = [f"many/{number:05}" for number in range(self.many)]
        await self.fill(store, [*keys, "many-not"])
        assert await every_key(store, "many/") == keys
        await store.delete_many([])
        await store.delete_many([*keys[: self.many // 2], "many/absent", *keys[self.many // 2 + 1 :]])
        assert sorted(await every_key(store, "many")) == sorted(["many-not", keys[self.many // 2]])
