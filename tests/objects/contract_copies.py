"""The part of the object-store contract on copies and tags."""

from __future__ import annotations

import pytest

from fhirstore.errors import ObjectNotFound, RequestRefused
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.facts import Facts
from tests.objects.contract_facts import FACTS
from tests.objects.store_under_test import MIB, StoreUnderTest, cut, every_key, patterned


class CopiesContract(StoreUnderTest):
    """Copies within the store, and tags."""

    @pytest.mark.parametrize("size", [0, 10, 300_000, 6 * MIB])
    async def test_copy_has_body_and_facts_of_its_source(self, store: ObjectStore, size: int) -> None:
        """A copy has body, content type, metadata and tags of the source, and lives on when that is gone."""
        body = patterned(size)
        await store.put("a/source", body, facts=FACTS)
        copied = await store.copy("a/source", "b/target")
        await store.delete("a/source")
        info = await store.stat("b/target")
        assert (info.size, info.etag) == (size, copied.etag)
        assert (info.content_type, dict(info.metadata)) == (FACTS.content_type, FACTS.metadata)
        assert await store.get_tags("b/target") == FACTS.tags
        assert (await store.get("b/target")).body == body
        assert await every_key(store, "") == ["b/target"]

    async def test_copy_of_a_streamed_object(self, store: ObjectStore) -> None:
        """A body that was sent in parts is copied as any other."""
        body = patterned(11 * MIB)
        await store.put_stream("source", cut(body, MIB), part_size=5 * MIB)
        await store.copy("source", "target")
        assert (await store.get("target")).body == body
        await store.put("source", b"new")
        assert (await store.get("target")).body == body

    async def test_copy_with_facts_of_its_own(self, store: ObjectStore) -> None:
        """Facts given with a copy replace all of the source's, which keeps its own."""
        await store.put("source", b"x", facts=FACTS)
        changed = Facts(content_type="text/plain", metadata={"a": "b"})
        await store.copy("source", "target", facts=changed)
        info = await store.stat("target")
        assert (info.content_type, dict(info.metadata)) == ("text/plain", {"a": "b"})
        assert await store.get_tags("target") == {}
        assert dict((await store.stat("source")).metadata) == FACTS.metadata

    async def test_copy_replaces_and_may_be_onto_itself(self, store: ObjectStore) -> None:
        """A copy replaces what its target was; onto itself it changes the facts given, or nothing."""
        await store.put("a", b"1", facts=FACTS)
        await store.put("b", b"2", facts=Facts(metadata={"gone": "soon"}))
        await store.copy("a", "b")
        assert ((await store.get("b")).body, dict((await store.stat("b")).metadata)) == (b"1", FACTS.metadata)
        await store.copy("a", "a")
        assert dict((await store.stat("a")).metadata) == FACTS.metadata
        assert await store.get_tags("a") == FACTS.tags
        await store.copy("a", "a", facts=Facts(metadata={"new": "one"}))
        assert ((await store.get("a")).body, dict((await store.stat("a")).metadata)) == (b"1", {"new": "one"})
        await store.delete("a")
        assert (await store.get("b")).body == b"1"

    async def test_copy_of_absent_source(self, store: ObjectStore) -> None:
        """There is nothing to copy, and the target stays as it was."""
        await store.put("target", b"stays")
        with pytest.raises(ObjectNotFound) as caught:
            await store.copy("absent", "target")
        assert caught.value.key == "absent"
        assert (await store.get("target")).body == b"stays"

    async def test_unfit_facts_of_a_copy_are_refused(self, store: ObjectStore) -> None:
        """As with PUT, before anything is done."""
        await store.put("source", b"x")
        with pytest.raises(RequestRefused):
            await store.copy("source", "target", facts=Facts(metadata={"A": "x"}))
        assert await every_key(store, "") == ["source"]

    @pytest.mark.parametrize("key", ["a b/+&c", "\u00e9\U0001f600"])
    async def test_copy_of_odd_keys(self, store: ObjectStore, key: str) -> None:
        """Keys with characters that URLs treat specially are copied, and tagged, as any other."""
        await store.put(key, b"x")
        await store.copy(key, f"copies/{key}")
        await store.set_tags(f"copies/{key}", {"a": "b"})
        assert (await store.get(f"copies/{key}")).body == b"x"
        assert await store.get_tags(f"copies/{key}") == {"a": "b"}

    async def test_tags_are_kept_and_replaced(self, store: ObjectStore) -> None:
        """Tags come with a PUT or later, are replaced as a whole, and leave body, ETag and metadata alone."""
        written = await store.put("a", b"x", facts=FACTS)
        assert await store.get_tags("a") == FACTS.tags
        tags = {"one": "1", "two words": "a+b = c/d:e@f_g.h-i", "empty": ""}
        await store.set_tags("a", tags)
        assert await store.get_tags("a") == tags
        info = await store.stat("a")
        assert (info.etag, dict(info.metadata), info.content_type) == (written.etag, FACTS.metadata, FACTS.content_type)
        await store.set_tags("a", {})
        assert await store.get_tags("a") == {}
        assert (await store.get("a")).body == b"x"

    async def test_tags_of_an_object_without_facts(self, store: ObjectStore) -> None:
        """An object that was written without tags has none, and can be given some."""
        await store.put("a", b"x")
        await store.put("b", b"x")
        assert await store.get_tags("a") == {}
        await store.set_tags("a", {"a": "b"})
        assert (await store.get_tags("a"), await store.get_tags("b")) == ({"a": "b"}, {})

    async def test_tags_of_a_body_in_parts(self, store: ObjectStore) -> None:
        """An object sent in parts has the tags that its facts named."""
        await store.put_stream("a", cut(patterned(6 * MIB), MIB), facts=FACTS, part_size=5 * MIB)
        assert await store.get_tags("a") == (FACTS.tags if self.tags_follow else {})

    async def test_tags_go_with_their_object(self, store: ObjectStore) -> None:
        """Whoever replaces an object, or deletes and writes it again, leaves no tags of the one before."""
        if not self.tags_follow:
            pytest.skip("this server keeps the tags of replaced objects")
        await store.put("a", b"x", facts=FACTS)
        await store.put("a", b"x")
        assert await store.get_tags("a") == {}
        await store.set_tags("a", {"a": "b"})
        await store.delete("a")
        await store.put("a", b"x")
        assert await store.get_tags("a") == {}

    async def test_tags_of_absent_object(self, store: ObjectStore) -> None:
        """An absent object has no tags to read or replace, and none comes into being."""
        with pytest.raises(ObjectNotFound):
            await store.get_tags("absent")
        with pytest.raises(ObjectNotFound):
            await store.set_tags("absent", {"a": "b"})
        assert await every_key(store, "") == []

    async def test_unfit_tags_are_refused(self, store: ObjectStore) -> None:
        """What one store would not take none takes."""
        await store.put("a", b"x")
        for tags in ({str(n): "" for n in range(11)}, {"": "x"}, {"a": "<b>"}, {"a": "x" * 257}):
            with pytest.raises(RequestRefused):
                await store.set_tags("a", tags)
        assert await store.get_tags("a") == {}
