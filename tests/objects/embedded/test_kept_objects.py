"""Objects that were read lately come from memory only while the store has them as they were."""

from __future__ import annotations

from pathlib import Path

from fhirstore.errors import ObjectNotFound
from fhirstore.objects.base import GetAnswer, StoredObject
from fhirstore.objects.embedded.kept_objects import Kept, KeptObjects, Row
from fhirstore.objects.embedded.store import EmbeddedStore

KEYS = ("a", "b", "c")


def bodies(answers: list[GetAnswer]) -> list[bytes | None]:
    """The bodies that came; None: no such object."""
    return [answer.body if isinstance(answer, StoredObject) else None for answer in answers]


async def test_what_others_wrote_is_read_anew(tmp_path: Path) -> None:
    """Another process replaces one object and deletes another; the third one is as it was."""
    here = await EmbeddedStore.open(tmp_path)
    there = await EmbeddedStore.open(tmp_path)
    try:
        for key in KEYS:
            await here.put(key, b"first of " + key.encode())
        assert bodies(list(await here.get_many(KEYS))) == [b"first of a", b"first of b", b"first of c"]
        await there.put("a", b"second of a")
        await there.delete("b")
        answers = list(await here.get_many(KEYS))
        assert bodies(answers) == [b"second of a", None, b"first of c"]
        assert isinstance(answers[1], ObjectNotFound)
        await there.put("b", b"first of b")
        assert bodies(list(await here.get_many(KEYS))) == [b"second of a", b"first of b", b"first of c"]
    finally:
        await there.aclose()
        await here.aclose()


async def test_what_this_process_wrote_is_read_anew(tmp_path: Path) -> None:
    """Its own writes go through another connection than its reads."""
    store = await EmbeddedStore.open(tmp_path)
    try:
        for text in (b"1", b"2", b"1"):
            await store.put("a", text)
            assert bodies(list(await store.get_many(("a", "b")))) == [text, None]
    finally:
        await store.aclose()


async def test_an_answer_tells_when_it_was_given(tmp_path: Path) -> None:
    """The date is that of this read, not of the one from which the body was kept."""
    store = await EmbeddedStore.open(tmp_path)
    try:
        await store.put("a", b"1")
        (first,) = await store.get_many(("a",))
        assert isinstance(first, StoredObject)
        later = store.now()
        while later <= first.date:
            later = store.now()
        (second,) = await store.get_many(("a",))
        assert isinstance(second, StoredObject)
        assert second.date >= later
    finally:
        await store.aclose()


def test_no_more_bytes_are_kept_than_there_is_room_for() -> None:
    """Those not used for longest are dropped; a large body is not kept at all."""
    kept = KeptObjects(100)
    for key in "abcd":
        kept.keep(key, Kept(1, Row(1, 1, 1), b"x" * 30, "etag"))
        kept.find("a")
    assert [key for key, _ in kept.find("abcd")[0]] == ["a", "c", "d"]
    kept.keep("e", Kept(1, Row(1, 1, 1), b"x" * 100_000, "etag"))
    assert kept.find("acde")[1] == ["e"]
    kept.keep("a", Kept(2, Row(2, 2, 2), b"x" * 90, "etag"))
    assert [key for key, _ in kept.find("acde")[0]] == ["a"]
