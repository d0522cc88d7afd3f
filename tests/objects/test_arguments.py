"""What one store would take and another not is refused at once, on every store, before anything is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from fhirstore.errors import RequestRefused
from fhirstore.objects import Facts, ObjectStore, get_file, open_objects, put_file

MALFORMED = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/.",
    "a\\b",
    "a\nb",
    "a\x00",
    "\ud800",
    "k" * 256,
    "ü" * 128,
    "k/" * 450 + "kk",
)
WELL_FORMED = ("a", "...", ".a/b..", "a b+c%2F?#&=", "ü/日本/e\u0301", "k" * 200 + "/" + "k" * 200)


@pytest.fixture(params=["memory:", "file:"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    """A store as a user opens it."""
    store = await open_objects(request.param if request.param == "memory:" else f"file:{tmp_path / 'store'}")
    yield store
    await store.aclose()


async def _one() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize("key", MALFORMED, ids=ascii)
async def test_a_malformed_key_is_refused(store: ObjectStore, key: str) -> None:
    """By everything that writes or reads one; a listing afterwards is that of an empty store."""
    await store.put("source", b"x")
    for call in (
        store.put(key, b"x"),
        store.put_stream(key, _one()),
        store.copy("source", key),
        store.create_upload(key),
        store.get(key),
        store.stat(key),
        store.set_tags(key, {}),
        store.presign_put(key, expires_in=60),
    ):
        with pytest.raises(RequestRefused, match="key"):
            await call
    with pytest.raises(RequestRefused, match="key"):
        store.get_stream(key)
    assert [item.key for item in (await store.list("")).objects] == ["source"]


@pytest.mark.parametrize("key", WELL_FORMED, ids=ascii)
async def test_a_well_formed_key_is_kept_as_it_is(store: ObjectStore, key: str) -> None:
    """Written, read and listed under the same text."""
    await store.put(key, b"x")
    assert (await store.get(key)).body == b"x"
    assert [item.key for item in (await store.list(key)).objects] == [key]


@pytest.mark.parametrize("limit", [-1, 0, 1001])
async def test_a_limit_that_no_store_lists_is_refused(store: ObjectStore, limit: int) -> None:
    """A page of none would be continued for ever."""
    with pytest.raises(RequestRefused, match="use 1 to 1000"):
        await store.list("", limit=limit)


@pytest.mark.parametrize("size", [10, 300_000], ids=["row", "file"])
async def test_a_range_below_0_is_refused(store: ObjectStore, size: int) -> None:
    """Bounds count from the begin on every store, not from the end as those of a slice."""
    await store.put("a", bytes(size))
    for start, end in ((-3, None), (0, -1)):
        with pytest.raises(RequestRefused, match="0 or more"):
            store.get_stream("a", start=start, end=end)


async def test_a_body_of_text_is_refused(store: ObjectStore) -> None:
    """As a TypeError that says so, whatever the store."""
    with pytest.raises(TypeError, match="must be bytes, not str"):
        await store.put("a", cast("bytes", "text"))


@pytest.mark.parametrize(
    "facts",
    [{"metadata": {"n": 1}}, {"metadata": {1: "n"}}, {"tags": {"n": 1}}, {"tags": {1: "n"}}, {"content_type": 1}],
    ids=str,
)
async def test_facts_that_are_no_text_are_refused(store: ObjectStore, facts: dict[str, object]) -> None:
    """As every other fact that no store keeps."""
    with pytest.raises(RequestRefused):
        await store.put("a", b"x", facts=Facts(**facts))  # type: ignore[arg-type]


async def test_paths_may_be_text(store: ObjectStore, tmp_path: Path) -> None:
    """`put_file` and `get_file` take what `open` takes."""
    (tmp_path / "up").write_bytes(b"abc")
    await put_file(store, "a", str(tmp_path / "up"))
    assert await get_file(store, "a", str(tmp_path / "down")) == 3
    assert (tmp_path / "down").read_bytes() == b"abc"
