"""The embedded store keeps the contract, commits in groups, refuses what is not its own, and says why in one line."""

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from fhirstore.errors import (
    NotFollowed,
    ObjectDamaged,
    OutcomeUnknown,
    PreconditionFailed,
    StoreDamaged,
    StoreMisconfigured,
    StoreUnavailable,
    WriteWindowClosed,
)
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore, Written
from fhirstore.objects.embedded.database import DATABASE, connect
from fhirstore.objects.embedded.listing import list_page, upper_bound
from fhirstore.objects.embedded.statements import PutRow
from fhirstore.objects.embedded.store import EmbeddedStore
from tests.objects.contract import ObjectStoreContract
from tests.objects.store_under_test import MIB, MINUTE, Put, every_key


class TestEmbeddedStore(ObjectStoreContract):
    """Every promise of the object verbs holds in a directory."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        store = await EmbeddedStore.open(tmp_path / "store")
        yield store
        await store.aclose()


class TestEmbeddedStoreOfFiles(ObjectStoreContract):
    """Every promise holds when each body of more than a byte is a file."""

    many = 1010

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[ObjectStore]:
        store = await EmbeddedStore.open(tmp_path / "store", large=1)
        yield store
        await store.aclose()


class HandClock:
    """A clock that a test sets."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """A store in a directory of its own."""
    store = await EmbeddedStore.open(tmp_path)
    yield store
    await store.aclose()


async def test_concurrent_writes_share_commits(store: EmbeddedStore) -> None:
    """Hundreds of writes in flight take far fewer transactions than writes."""
    await asyncio.gather(*(store.put(f"k/{number}", b"x", condition=IF_ABSENT) for number in range(500)))
    assert len((await store.list("k/")).objects) == 500
    assert store.commits <= 50


async def test_what_was_written_is_there_when_opened_again(tmp_path: Path) -> None:
    """Closing and opening changes nothing."""
    store = await EmbeddedStore.open(tmp_path)
    small, large = await store.put("small", b"x"), await store.put("large", b"y" * 1_000_000)
    await store.aclose()
    store = await EmbeddedStore.open(tmp_path)
    assert [(await store.get(key)).etag for key in ("small", "large")] == [small.etag, large.etag]
    assert store.location == f"file:{tmp_path}"
    await store.aclose()


async def test_window_is_judged_by_the_clock_when_applied(tmp_path: Path) -> None:
    """Windows end at the store's own clock, dates and last-modified times are its too."""
    clock = HandClock(5_000)
    store = await EmbeddedStore.open(tmp_path, clock=clock, large=10)
    assert (await store.put("a", b"in time", expires=5_000)).date == 5_000
    clock.at = 5_001
    for body in (b"late", b"late, and a file"):
        with pytest.raises(WriteWindowClosed):
            await store.put("a", body, expires=5_000)
    assert (await store.get("a")).body == b"in time"
    assert (await store.list("")).objects[0].modified == 5_000
    await store.aclose()
    assert list((tmp_path / "bodies").iterdir()) == []


async def test_cancelled_waiter_disturbs_nobody(store: EmbeddedStore, tmp_path: Path) -> None:
    """Waiters cancelled before or while their batch is under way do not keep others from their answers."""
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")  # the first batch waits for this
        tasks = [asyncio.create_task(store.put(f"k/{number}", b"x")) for number in range(100)]
        await asyncio.sleep(0.05)
        tasks += [asyncio.create_task(store.put(f"l/{number}", b"x")) for number in range(100)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        tool.execute("ROLLBACK")
    async with asyncio.timeout(60):  # only a broken writer keeps them waiting for ever
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, Written) for outcome in outcomes[1::2])
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[::2])
    await store.put("after", b"x")


async def test_one_bad_request_fails_alone(store: EmbeddedStore) -> None:
    """A request that SQLite cannot bind fails, the others of its batch are applied."""
    outcomes = await asyncio.gather(
        *(store.put(f"k/{number}", b"x") for number in range(10)),
        store.put("k/\ud800", b"a key that is no text"),
        *(store.put(f"l/{number}", b"x") for number in range(10)),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes].count(OutcomeUnknown) == 1
    assert len((await store.list("")).objects) == 20


async def test_second_event_loop_is_refused(store: EmbeddedStore) -> None:
    """While one event loop writes, another is told that it may not, and disturbs nothing."""
    write = asyncio.create_task(store.put("a", b"1"))
    await asyncio.sleep(0)
    refused: list[Exception] = []

    def write_elsewhere() -> None:
        try:
            asyncio.run(store.put("b", b"2"))
        except RuntimeError as error:
            refused.append(error)

    thread = threading.Thread(target=write_elsewhere)
    thread.start()
    thread.join()
    assert "one event loop" in str(refused[0])
    await write
    assert [listed.key for listed in (await store.list("")).objects] == ["a"]


async def test_puts_of_one_call_share_a_commit(store: EmbeddedStore) -> None:
    """Several PUTs at once take one transaction."""
    before = store.commits
    await store.put_many([Put("a", b"1"), Put("b", b"2", IF_ABSENT), Put("c", b"3"), Put("d", b"4", follows=True)])
    assert store.commits == before + 1


@pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
async def test_a_put_that_follows_is_done_after_the_others(store: EmbeddedStore, size: int) -> None:
    """Where all before it were written it is decided on its own; it may rest on what they just wrote."""
    first = Put("slot", b"z" * size, IF_ABSENT, store.now() + MINUTE)
    answers = await store.put_many((first, Put("event", b""), Put("now", b"1", IF_ABSENT, follows=True)))
    assert tuple(type(answer) for answer in answers) == (Written, Written, Written)
    assert isinstance(answers[-1], Written)
    upon = IfMatch(answers[-1].etag)
    answers = await store.put_many((Put("more", b""), Put("now", b"2", upon, follows=True)))
    assert tuple(type(answer) for answer in answers) == (Written, Written)
    answers = await store.put_many((Put("third", b"z" * size), Put("now", b"3", upon, follows=True)))
    assert tuple(type(answer) for answer in answers) == (Written, PreconditionFailed)
    assert (await store.get("now")).body == b"2"
    assert await every_key(store, "") == ["event", "more", "now", "slot", "third"]


@pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
async def test_a_put_does_not_follow_one_that_was_refused(store: EmbeddedStore, size: int) -> None:
    """It is not done, and says so; the others stand as they were decided."""
    await store.put("taken", b"old")
    for refused in (Put("taken", b"new", IF_ABSENT), Put("late", b"", None, store.now() - MINUTE)):
        beside, last = Put("beside", b"z" * size), Put("now", b"1", IF_ABSENT, follows=True)
        answers = await store.put_many((refused, beside, last))
        assert isinstance(answers[0], PreconditionFailed | WriteWindowClosed)
        assert isinstance(answers[1], Written)
        assert isinstance(answers[2], NotFollowed)
    assert await every_key(store, "") == ["beside", "taken"]


async def test_of_racing_groups_only_the_winners_last_put_is_done(store: EmbeddedStore) -> None:
    """Whoever loses the race for the first key does not touch the last."""
    groups = [
        (Put("slot", b"%d" % number, IF_ABSENT), Put("now", b"%d" % number, follows=True)) for number in range(20)
    ]
    told = await asyncio.gather(*(store.put_many(group) for group in groups))
    (winner,) = [number for number, answers in enumerate(told) if isinstance(answers[0], Written)]
    assert all(isinstance(answers[1], NotFollowed) for number, answers in enumerate(told) if number != winner)
    assert (await store.get("slot")).body == (await store.get("now")).body == b"%d" % winner


@pytest.mark.parametrize("size", [1, MIB], ids=["small", "large"])
@pytest.mark.parametrize("turns", range(8))
async def test_puts_of_which_one_follows_are_not_recalled(tmp_path: Path, size: int, turns: int) -> None:
    """Whoever asked for them counts on them, and goes by what is there: cancelled or not, they are done soon."""
    store = await EmbeddedStore.open(tmp_path)
    asked = asyncio.create_task(store.put_many((Put("slot", b"z" * size), Put("now", b"1", follows=True))))
    for _ in range(turns + 1):  # from when it was asked
        await asyncio.sleep(0)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await store.aclose()
    again = await EmbeddedStore.open(tmp_path)
    assert await every_key(again, "") == ["now", "slot"]
    await again.aclose()


def test_loop_that_ends_early_leaves_nobody_waiting(tmp_path: Path) -> None:
    """When the event loop is shut down during a write, the store can still be closed, and opened again."""

    async def leave() -> EmbeddedStore:
        store = await EmbeddedStore.open(tmp_path)
        store._writer.write(PutRow("a", "e", 1, b"1", None, None, None))
        await asyncio.sleep(0)
        return store

    asyncio.run(asyncio.wait_for(_closed_again(asyncio.run(leave()), tmp_path), 60))


async def _closed_again(store: EmbeddedStore, directory: Path) -> None:
    with pytest.raises(OutcomeUnknown):
        await store.put("b", b"2")
    await store.aclose()
    other = await EmbeddedStore.open(directory)
    await other.put("b", b"2")
    await other.aclose()


async def test_closing_commits_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    """aclose lets queued writes finish; later ones and reads are refused; closing twice is fine."""
    store = await EmbeddedStore.open(tmp_path)
    writes = [asyncio.create_task(store.put(f"k/{number}", b"x")) for number in range(50)]
    await asyncio.sleep(0)
    await store.aclose()
    assert all([isinstance(await write, Written) for write in writes])
    with pytest.raises(OutcomeUnknown):
        await store.put("late", b"x")
    with pytest.raises(StoreUnavailable):
        await store.get("k/1")
    with pytest.raises(StoreMisconfigured):
        await store.check()
    await store.aclose()


# --- LIST costs what it gives -----------------------------------------------------------------------------------


async def test_rolled_up_folders_are_jumped_over(store: EmbeddedStore, tmp_path: Path) -> None:
    """Rolling up folders of thousands of keys takes about the steps of folders of one."""
    async with asyncio.TaskGroup() as group:
        for number in range(3000):
            group.create_task(store.put(f"wide/{number % 3}/{number}", b""))
        for number in range(3):
            group.create_task(store.put(f"slim/{number}/{number}", b""))
    with closing(connect(tmp_path, patience=1)) as connection:
        steps: dict[str, int] = {"wide/": 0, "slim/": 0}
        for prefix in steps:

            def count(prefix: str = prefix) -> int:
                steps[prefix] += 1
                return 0

            connection.set_progress_handler(count, 1)
            page = list_page(connection, prefix, start_after=None, cursor=None, delimiter=True, limit=1000)
            assert page.prefixes == (f"{prefix}0/", f"{prefix}1/", f"{prefix}2/")
    assert 0 < steps["wide/"] < 2 * steps["slim/"]


@pytest.mark.parametrize(
    ("prefix", "bound"),
    [("a/", "a0"), ("a\U0010ffff", "b"), ("\ud7ff", "\ue000"), ("", b""), ("\U0010ffff", b"")],
    ids=["folder", "last-character", "before-surrogates", "none", "only-last"],
)
def test_prefix_ends_where_no_key_starts_with_it(prefix: str, bound: str | bytes) -> None:
    """The bound behind a prefix is text that SQLite can compare, or nothing."""
    assert upper_bound(prefix) == bound


# --- one clear line ---------------------------------------------------------------------------------------------


async def test_file_is_no_directory(tmp_path: Path) -> None:
    """Opening a file, or a place below one, says so."""
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreMisconfigured, match="is a file or lies in one; name a directory"):
            await EmbeddedStore.open(place)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a place where even root may not write")
async def test_unwritable_place_is_refused() -> None:
    """Opening where no directory can be made says so."""
    with pytest.raises(StoreMisconfigured, match="name a directory to write to"):
        await EmbeddedStore.open(Path("/proc/fhirstore"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
async def test_read_only_directory_is_refused(tmp_path: Path) -> None:
    """Opening a directory without the right to write says so."""
    tmp_path.chmod(0o500)
    with pytest.raises(StoreMisconfigured, match="name a directory to write to"):
        await EmbeddedStore.open(tmp_path)


async def test_other_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A SQLite database of another program is not touched."""
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("CREATE TABLE cookies (x)")
    before = (tmp_path / DATABASE).read_bytes()
    with pytest.raises(StoreMisconfigured, match="is not a fhirstore database"):
        await EmbeddedStore.open(tmp_path)
    assert (tmp_path / DATABASE).read_bytes() == before


async def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """A database of a later format is refused by name of both."""
    await (await EmbeddedStore.open(tmp_path)).aclose()
    with closing(sqlite3.connect(tmp_path / DATABASE)) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreMisconfigured, match="has format 99, this fhirstore knows 3"):
        await EmbeddedStore.open(tmp_path)


async def test_garbage_is_refused(tmp_path: Path) -> None:
    """A file that is no database is called that."""
    (tmp_path / DATABASE).write_bytes(b"not a database, whatever its name says\n" * 200)
    with pytest.raises(StoreMisconfigured, match="is no SQLite database"):
        await EmbeddedStore.open(tmp_path)


async def test_damage_met_later_is_reported_not_hidden(tmp_path: Path) -> None:
    """Damaged pages raise errors of the store that name the damage, on reads and on writes."""
    store = await EmbeddedStore.open(tmp_path)
    await asyncio.gather(*(store.put(f"k/{number}", b"x" * 2000) for number in range(200)))
    await store.aclose()
    with (tmp_path / DATABASE).open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * ((tmp_path / DATABASE).stat().st_size - 8192))
    store = await EmbeddedStore.open(tmp_path)
    with pytest.raises(ObjectDamaged, match="damaged"):
        await store.get("k/1")
    with pytest.raises(StoreDamaged, match="damaged"):
        await store.list("k/")
    with pytest.raises(OutcomeUnknown, match="damaged"):
        await store.put("k/1", b"x")
    with pytest.raises(StoreMisconfigured, match="damaged"):
        await store.check()
    await store.aclose()


async def test_check_notices_that_the_files_are_gone(tmp_path: Path) -> None:
    """A directory removed or replaced under a running store is noticed."""
    store = await EmbeddedStore.open(tmp_path / "store")
    await store.check()
    (tmp_path / "store").rename(tmp_path / "moved")
    with pytest.raises(StoreMisconfigured, match="gone"):
        await store.check()
    other = await EmbeddedStore.open(tmp_path / "store")
    with pytest.raises(StoreMisconfigured, match="replaced"):
        await store.check()
    await other.aclose()
    await store.aclose()
