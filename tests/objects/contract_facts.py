"""The part of the object-store contract on facts: what an object carries beside its body, and what stat tells."""

from __future__ import annotations

import pytest

from fhirstore.errors import ObjectNotFound, PreconditionFailed, RequestRefused
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore, Written
from fhirstore.objects.facts import Facts
from tests.objects.store_under_test import MIB, MINUTE, Put, StoreUnderTest, cut, patterned

FACTS = Facts(
    content_type="application/fhir+ndjson; charset=utf-8",
    metadata={"run": "01ABC", "note.of_it-1": "two words = one; value"},
    tags={"keep": "30 days", "a+b": "c/d:e@f"},
)


class FactsContract(StoreUnderTest):
    """Content type and metadata."""

    async def test_stat_tells_what_get_tells(self, store: ObjectStore) -> None:
        """Size, ETag and time are those of the object and its listing; without facts there is no metadata."""
        written = await store.put("a/plain", b"12345")
        info = await store.stat("a/plain")
        (listed,) = (await store.list("a/")).objects
        assert (info.key, info.size, info.etag, dict(info.metadata)) == ("a/plain", 5, written.etag, {})
        assert abs(info.modified - listed.modified) < 1000
        self.assert_plausible(info.modified)
        assert "/" in info.content_type
        await store.put("a/empty", b"")
        assert (await store.stat("a/empty")).size == 0

    async def test_stat_of_absent_object(self, store: ObjectStore) -> None:
        """There is nothing to tell of an absent object, or of a folder."""
        await store.put("a/b", b"x")
        for key in ("absent", "a"):
            with pytest.raises(ObjectNotFound):
                await store.stat(key)

    @pytest.mark.parametrize("size", [0, 10, 300_000])
    async def test_facts_are_kept(self, store: ObjectStore, size: int) -> None:
        """Content type and metadata come back as they were given, for bodies of any size, put or streamed."""
        body = patterned(size)
        await store.put("put", body, facts=FACTS)
        await store.put_stream("streamed", cut(body, 100_000), facts=FACTS)
        for key in ("put", "streamed"):
            info = await store.stat(key)
            assert (info.content_type, dict(info.metadata)) == (FACTS.content_type, FACTS.metadata)
            assert info.size == size
            assert (await store.get(key)).body == body

    async def test_a9_facts_go_with_each_of_several_puts(self, store: ObjectStore) -> None:
        """Tags and metadata of some of the PUTs of a group, conditional and windowed, small, shared and large."""
        shared, large = b"the same" * 100, b"z" * MIB
        soon = store.now() + MINUTE
        puts = (
            Put("p/tagged", shared, IF_ABSENT, soon, facts=FACTS),
            Put("p/plain", shared),
            Put("p/large", large, IF_ABSENT, soon, facts=FACTS),
            Put("p/twin", large, facts=FACTS),
        )
        assert all(isinstance(answer, Written) for answer in await store.put_many(puts))
        assert all(isinstance(answer, Written) for answer in await store.put_many([*puts[1:2], Put("p/x", b"")]))
        for put in puts:
            wanted = put.facts or Facts()
            assert dict(await store.get_tags(put.key)) == dict(wanted.tags)
            assert dict((await store.stat(put.key)).metadata) == dict(wanted.metadata)
            assert (await store.get(put.key)).body == put.body

    async def test_a9_refused_facts_write_nothing_of_the_group(self, store: ObjectStore) -> None:
        """Tags that no store takes are refused before anything is sent, whatever the size of the body."""
        for size in (1, MIB):
            key = f"p/{size}"
            try:
                answers = await store.put_many([Put(key, b"x" * size, facts=Facts(tags={"a": "?"}))])
            except RequestRefused:
                answers = ()
            assert all(isinstance(answer, RequestRefused) for answer in answers)
            with pytest.raises(ObjectNotFound):
                await store.get(key)

    async def test_facts_of_a_body_in_parts_are_kept(self, store: ObjectStore) -> None:
        """A body of several parts, sent in parallel, is whole and has its facts; progress never goes back."""
        body = patterned(16 * MIB + 5)
        told: list[int] = []
        written = await store.put_stream(
            "big", cut(body, 700_001), facts=FACTS, part_size=5 * MIB, concurrency=3, progress=told.append
        )
        info = await store.stat("big")
        assert (info.size, info.etag) == (len(body), written.etag)
        assert (info.content_type, dict(info.metadata)) == (FACTS.content_type, FACTS.metadata)
        assert (told == sorted(told), told[-1], len(told) > 2) == (True, len(body), True)
        assert (await store.get("big")).body == body

    async def test_facts_go_with_their_object(self, store: ObjectStore) -> None:
        """Whoever replaces an object, or deletes and writes it again, gives it new facts or none."""
        await store.put("a", b"1", facts=FACTS)
        second = await store.put("a", b"1", facts=Facts(metadata={"only": "this"}))
        assert dict((await store.stat("a")).metadata) == {"only": "this"}
        await store.put("a", b"2", condition=IfMatch(second.etag))
        assert dict((await store.stat("a")).metadata) == {}
        for again in (None, IF_ABSENT):
            await store.put("a", b"3", facts=FACTS)
            await store.delete("a")
            await store.put("a", b"3", condition=again)
            assert dict((await store.stat("a")).metadata) == {}
        await store.put("a", b"3", facts=FACTS)
        await store.put_stream("a", cut(b"4", 1))
        assert dict((await store.stat("a")).metadata) == {}

    async def test_facts_do_not_spread_to_equal_bodies(self, store: ObjectStore) -> None:
        """Two objects with one body have each their own facts."""
        await store.put("with", b"same", facts=FACTS)
        await store.put("without", b"same")
        await store.put("other", b"same", facts=Facts(metadata={"a": "b"}))
        assert dict((await store.stat("without")).metadata) == {}
        assert dict((await store.stat("with")).metadata) == FACTS.metadata
        assert dict((await store.stat("other")).metadata) == {"a": "b"}

    async def test_facts_go_with_conditions_and_windows(self, store: ObjectStore) -> None:
        """A conditional PUT with facts is decided as one without; a refused one changes no facts."""
        first = await store.put("a", b"1", condition=IF_ABSENT, facts=FACTS)
        with pytest.raises(PreconditionFailed):
            await store.put("a", b"2", condition=IF_ABSENT, facts=Facts(metadata={"x": "y"}))
        assert dict((await store.stat("a")).metadata) == FACTS.metadata
        changed = Facts(metadata={"x": "y"})
        window = store.now() + 60_000
        await store.put("a", b"2", condition=IfMatch(first.etag), expires=window, facts=changed)
        assert ((await store.get("a")).body, dict((await store.stat("a")).metadata)) == (b"2", {"x": "y"})

    @pytest.mark.parametrize(
        "facts",
        [
            Facts(content_type="text"),
            Facts(content_type="text/plain\r\nx: y"),
            Facts(content_type="text/pl\u00e4in"),
            Facts(metadata={"Upper": "x"}),
            Facts(metadata={"a b": "x"}),
            Facts(metadata={"": "x"}),
            Facts(metadata={"a": "\u00e9"}),
            Facts(metadata={"a": "x\ny"}),
            Facts(metadata={"a": " x"}),
            Facts(metadata={"a": ""}),
            Facts(metadata={"a": "x" * 1024, "b": "x" * 1023}),
            Facts(tags={str(n): "x" for n in range(11)}),
            Facts(tags={"": "x"}),
            Facts(tags={"a": "?"}),
            Facts(tags={"a" * 129: "x"}),
            Facts(tags={"a": "x" * 257}),
        ],
    )
    async def test_unfit_facts_are_refused_by_every_store(self, store: ObjectStore, facts: Facts) -> None:
        """What one store cannot keep none takes, so that a change of store loses nothing; nothing is written."""
        for refused in (store.put("a", b"x", facts=facts), store.put_stream("a", cut(b"x", 1), facts=facts)):
            with pytest.raises(RequestRefused) as caught:
                await refused
            assert isinstance(caught.value, ValueError)
        with pytest.raises(ObjectNotFound):
            await store.get("a")

    async def test_parts_of_unfit_size_are_refused(self, store: ObjectStore) -> None:
        """Parts below 5 MiB, or none at once, are refused by every store before the first chunk is asked for."""
        for part_size, concurrency in ((5 * MIB - 1, 1), (5 * MIB, 0), (5 * 1024 * MIB + 1, 1)):
            with pytest.raises(RequestRefused):
                await store.put_stream("a", cut(b"x", 1), part_size=part_size, concurrency=concurrency)
