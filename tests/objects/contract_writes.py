"""The part of the object-store contract on GET, PUT and DELETE of one object: conditions, races, windows."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fhirstore.errors import ObjectNotFound, PreconditionFailed, WriteWindowClosed
from fhirstore.objects.base import IF_ABSENT, IfMatch, ObjectStore, StoredObject, Written
from tests.objects.store_under_test import LOST, MIB, MINUTE, Put, StoreUnderTest, every_key, one_winner


class WritesContract(StoreUnderTest):
    """One object, written by one or by many."""

    # --- get, put, delete --------------------------------------------------------------------------------------

    async def test_store_is_there(self, store: ObjectStore) -> None:
        """check() is silent on a good store, and its location tells where it lies."""
        await store.check()
        assert ":" in store.location

    async def test_put_is_read_back(self, store: ObjectStore) -> None:
        """A GET after a PUT gives the body and the ETag of that PUT."""
        written = await store.put("resources/Patient/a/current.json", b'{"v":3}')
        found = await store.get("resources/Patient/a/current.json")
        assert (found.body, found.etag) == (b'{"v":3}', written.etag)

    async def test_put_replaces_the_whole_object(self, store: ObjectStore) -> None:
        """A second, shorter PUT leaves nothing of the first."""
        await store.put("k", b"a long first body")
        written = await store.put("k", b"short")
        found = await store.get("k")
        assert (found.body, found.etag) == (b"short", written.etag)

    async def test_absent_is_not_found(self, store: ObjectStore) -> None:
        """A GET of a key that was never written raises ObjectNotFound, which names it and tells the store's time."""
        with pytest.raises(ObjectNotFound) as caught:
            await store.get("no/such/key")
        assert caught.value.key == "no/such/key"
        self.assert_plausible(caught.value.date)

    async def test_a_folder_is_not_an_object(self, store: ObjectStore) -> None:
        """A key's folders are no objects of their own."""
        await store.put("a/b/c", b"x")
        with pytest.raises(ObjectNotFound):
            await store.get("a/b")

    async def test_delete_removes_and_is_idempotent(self, store: ObjectStore) -> None:
        """A deleted key is absent and may be deleted again, be listed no more, and be created anew."""
        await store.put("d/1", b"x")
        await store.delete("d/1")
        with pytest.raises(ObjectNotFound):
            await store.get("d/1")
        await store.delete("d/1")
        await store.delete("d/never")
        assert await every_key(store, "d/") == []
        await store.put("d/1", b"again", condition=IF_ABSENT)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\0",
            bytes(range(256)) * 3,
            b"line\r\nline\n\n",
            "é \U0001f600 \u2028".encode(),
            b"\xff\xfe",
            b"z" * MIB,
        ],
        ids=["empty", "nul", "all-bytes", "newlines", "unicode", "not-utf8", "1-MiB"],
    )
    async def test_bodies_survive_to_the_byte(self, store: ObjectStore, body: bytes) -> None:
        """Any body comes back as it was, and lists with its size."""
        written = await store.put("b", body)
        found = await store.get("b")
        assert found.body == body
        assert found.etag == written.etag
        (listed,) = (await store.list("b")).objects
        assert (listed.key, listed.size) == ("b", len(body))

    async def test_keys_survive_to_the_character(self, store: ObjectStore) -> None:
        """Ids of 64 characters, `-`, `.` and `_`, digits and case are all told apart."""
        keys = [
            "resources/Patient/" + "a" * 64 + "/current.json",
            "resources/Patient/" + "A" * 64 + "/current.json",
            "resources/Patient/" + "x.-" * 21 + "x/_history/10.json",
            "resources/Patient/-/current.json",
            "resources/Patient/-.-/current.json",
            "resources/Patient/a.b/current.json",
            "resources/Patient/a-b/current.json",
            "resources/Patient/a/current.json",
            "resources/Patient/a..b/current.json",
            "history/system/1763611897123_Patient_a-b.c_12_C01JD3Q.json",
            "tx/01JD3Q3V9M6X0Z8Q4T5R6S7U8V.json",
            "0",
        ]
        await self.fill(store, keys)
        for key in keys:
            assert (await store.get(key)).body == key.encode()
        assert sorted(await every_key(store, "")) == sorted(keys)

    # --- ETags -------------------------------------------------------------------------------------------------

    async def test_another_body_has_another_etag(self, store: ObjectStore) -> None:
        """A changed body changes the ETag; whether equal bodies have equal ones is said by the class attribute."""
        one = await store.put("e/1", b"same")
        two = await store.put("e/2", b"same")
        other = await store.put("e/3", b"other")
        again = await store.put("e/3", b"same")
        assert other.etag not in (one.etag, two.etag, again.etag)
        assert (one.etag == two.etag == again.etag) is not self.opaque_etags
        assert (await store.get("e/3")).etag == again.etag

    async def test_an_etag_stays_while_nothing_is_written(self, store: ObjectStore) -> None:
        """GET, HEAD, LIST and a stream tell one ETag, however often, also when the object's tags were changed."""
        written = await store.put("e", b"same")
        for _ in range(2):
            (listed,) = (await store.list("e")).objects
            async with store.get_stream("e") as stream:
                streamed = stream.etag
            assert {(await store.get("e")).etag, (await store.stat("e")).etag, listed.etag, streamed} == {written.etag}
            await store.set_tags("e", {"kind": "x"})

    async def test_an_uploads_etag_is_the_read_etag(self, store: ObjectStore) -> None:
        """What a copy and a completed upload answer is what a GET shows, and matches."""
        upload = await store.create_upload("u")
        part = await store.put_part("u", upload, 1, b"part")
        completed = await store.complete_upload("u", upload, [(1, part)])
        copied = await store.copy("u", "c")
        for key, written in (("u", completed), ("c", copied)):
            (listed,) = (await store.list(key)).objects
            assert (await store.get(key)).etag == (await store.stat(key)).etag == listed.etag == written.etag
            await store.put(key, b"over it", condition=IfMatch(written.etag))

    async def test_listed_etag_is_the_read_etag(self, store: ObjectStore) -> None:
        """The ETag of a LIST can be used where that of a GET can."""
        await store.put("l/1", b"one")
        (listed,) = (await store.list("l/")).objects
        assert listed.etag == (await store.get("l/1")).etag
        await store.put("l/1", b"two", condition=IfMatch(listed.etag))

    # --- conditions --------------------------------------------------------------------------------------------

    async def test_if_absent_creates_once(self, store: ObjectStore) -> None:
        """IfAbsent writes a free key, refuses a taken one and leaves it alone."""
        await store.put("c", b"first", condition=IF_ABSENT)
        with pytest.raises(PreconditionFailed):
            await store.put("c", b"second", condition=IF_ABSENT)
        with pytest.raises(PreconditionFailed):
            await store.put("c", b"first", condition=IF_ABSENT)
        assert (await store.get("c")).body == b"first"

    async def test_if_match_replaces_only_what_was_read(self, store: ObjectStore) -> None:
        """IfMatch writes over the ETag it names and refuses a stale one."""
        first = await store.put("m", b"1")
        second = await store.put("m", b"2", condition=IfMatch(first.etag))
        with pytest.raises(PreconditionFailed):
            await store.put("m", b"3", condition=IfMatch(first.etag))
        assert (await store.get("m")).etag == second.etag
        await store.put("m", b"3", condition=IfMatch(second.etag))
        assert (await store.get("m")).body == b"3"

    async def test_if_match_on_an_absent_key_fails(self, store: ObjectStore) -> None:
        """There is nothing to match where nothing is, before the first write or after a delete."""
        written = await store.put("known", b"x")
        with pytest.raises(PreconditionFailed):
            await store.put("absent", b"x", condition=IfMatch(written.etag))
        await store.delete("known")
        with pytest.raises(PreconditionFailed):
            await store.put("known", b"y", condition=IfMatch(written.etag))
        assert await every_key(store, "") == []

    async def test_if_match_cannot_see_a_change_and_back(self, store: ObjectStore) -> None:
        """Where the ETag is of the body, A-B-A matches A: the protocol above must never write a body twice."""
        first = await store.put("aba", b"A")
        await store.put("aba", b"B")
        await store.put("aba", b"A")
        over = store.put("aba", b"C", condition=IfMatch(first.etag))
        if self.opaque_etags:
            with pytest.raises(PreconditionFailed):
                await over
        else:
            await over

    async def test_if_absent_race_has_one_winner(self, store: ObjectStore) -> None:
        """Of many concurrent creators exactly one wins, the others are told, and the winner's body stands."""
        bodies = [b"racer %d" % number for number in range(self.racers)]
        winner = await one_winner(store.put("race", body, condition=IF_ABSENT) for body in bodies)
        found = await store.get("race")
        assert (found.body, found.etag) == (bodies[winner[0]], winner[1].etag)

    async def test_if_match_race_has_one_winner(self, store: ObjectStore) -> None:
        """Of many concurrent updates of one ETag exactly one wins, in each of three rounds."""
        base = await store.put("race", b"base")
        for turn in range(3):
            bodies = [b"turn %d racer %d" % (turn, number) for number in range(self.racers)]
            condition = IfMatch(base.etag)
            number, base = await one_winner(store.put("race", body, condition=condition) for body in bodies)
            assert (await store.get("race")).body == bodies[number]

    async def test_racing_increments_are_all_counted(self, store: ObjectStore) -> None:
        """Writers that read, add one and write IfMatch until they succeed lose no increment."""
        await store.put("count", b"0")

        async def add_one() -> None:
            while True:
                found = await store.get("count")
                try:
                    await store.put("count", b"%d" % (int(found.body) + 1), condition=IfMatch(found.etag))
                except LOST:
                    await asyncio.sleep(0.001)
                else:
                    return

        await asyncio.gather(*(add_one() for _ in range(5)))
        assert (await store.get("count")).body == b"5"

    # --- several at once ---------------------------------------------------------------------------------------

    async def test_several_puts_are_each_decided_on_their_own(self, store: ObjectStore) -> None:
        """Of several PUTs at once each is applied or refused as if it were alone, and answered in its place."""
        old = await store.put("p/old", b"old")
        puts = (
            Put("p/new", b"1", IF_ABSENT, store.now() + MINUTE),
            Put("p/old", b"2", IF_ABSENT),
            Put("p/late", b"3", None, store.now() - MINUTE),
            Put("p/none", b"4", IfMatch(old.etag)),
            Put("p/plain", b""),
            Put("p/large", b"z" * MIB),
        )
        answers = await store.put_many(puts)
        kinds = Written, PreconditionFailed, WriteWindowClosed, PreconditionFailed, Written, Written
        assert tuple(type(answer) for answer in answers) == kinds
        for put, answer in zip(puts, answers, strict=True):
            if isinstance(answer, Written):
                found = await store.get(put.key)
                assert (found.body, found.etag) == (put.body, answer.etag)
        assert (await store.get("p/old")).body == b"old"
        assert sorted(await every_key(store, "p/")) == ["p/large", "p/new", "p/old", "p/plain"]

    async def test_many_gets_are_answered_each_as_if_alone(self, store: ObjectStore) -> None:
        """Several GETs at once give, key for key, what a GET gives: the object, or the refusal as a value."""
        bodies = {f"m/{number:02}": b"%d" % number * (number * 40) for number in range(70)} | {"m/large": b"z" * MIB}
        await store.put_many([Put(key, body) for key, body in bodies.items()])
        keys = ["m/none", *bodies, "m/none", "m/03", "m"]
        answers = await store.get_many(keys)
        assert len(answers) == len(keys)
        for key, answer in zip(keys, answers, strict=True):
            if key in bodies:
                alone = await store.get(key)
                assert isinstance(answer, StoredObject)
                assert (answer.body, answer.etag) == (bodies[key], alone.etag)
                self.assert_plausible(answer.date)
            else:
                assert isinstance(answer, ObjectNotFound)
                assert answer.key == key
        assert list(await store.get_many([])) == []

    async def test_racing_groups_of_puts_have_one_winner_per_key(self, store: ObjectStore) -> None:
        """Where several groups of creations meet, each key is won once, and its winner's body stands."""
        keys = ["r/a", "r/b", "r/c"]
        groups = [[Put(key, b"group %d" % number, IF_ABSENT) for key in keys] for number in range(self.racers)]
        told = await asyncio.gather(*(store.put_many(group) for group in groups))
        for place, key in enumerate(keys):
            winners = [number for number, answers in enumerate(told) if isinstance(answers[place], Written)]
            assert (await store.get(key)).body == b"group %d" % winners[0]
            assert len(winners) == 1

    # --- time --------------------------------------------------------------------------------------------------

    async def test_closed_window_refuses_and_writes_nothing(self, store: ObjectStore) -> None:
        """A PUT past its window is refused by the store, with or without a condition, and leaves all as it was."""
        written = await store.put("w/old", b"old")
        past = store.now() - MINUTE
        with pytest.raises(WriteWindowClosed):
            await store.put("w/new", b"x", expires=past)
        with pytest.raises(WriteWindowClosed):
            await store.put("w/new", b"x", condition=IF_ABSENT, expires=past)
        with pytest.raises(WriteWindowClosed):
            await store.put("w/old", b"x", condition=IfMatch(written.etag), expires=past)
        assert await every_key(store, "w/") == ["w/old"]
        assert (await store.get("w/old")).body == b"old"

    async def test_open_window_writes(self, store: ObjectStore) -> None:
        """A PUT within its window is an ordinary one: plain, IfAbsent and IfMatch are decided as ever."""
        await store.check()  # lets a remote store learn its clock
        open_until = store.now() + MINUTE
        await store.put("w/plain", b"1", expires=open_until)
        written = await store.put("w/key", b"1", condition=IF_ABSENT, expires=open_until)
        with pytest.raises(PreconditionFailed):
            await store.put("w/key", b"2", condition=IF_ABSENT, expires=open_until)
        second = await store.put("w/key", b"2", condition=IfMatch(written.etag), expires=open_until)
        with pytest.raises(PreconditionFailed):
            await store.put("w/key", b"3", condition=IfMatch(written.etag), expires=open_until)
        with pytest.raises(PreconditionFailed):
            await store.put("w/none", b"3", condition=IfMatch(written.etag), expires=open_until)
        found = await store.get("w/key")
        assert (found.body, found.etag) == (b"2", second.etag)

    async def test_delete_past_its_window_removes_nothing(self, store: ObjectStore) -> None:
        """A DELETE past its window is refused by the store, whether the object is there or not."""
        await store.put("w/kept", b"x")
        for key in ("w/kept", "w/never"):
            with pytest.raises(WriteWindowClosed):
                await store.delete(key, expires=store.now() - MINUTE)
        assert await every_key(store, "w/") == ["w/kept"]

    async def test_delete_within_its_window_removes(self, store: ObjectStore) -> None:
        """A DELETE within its window is an ordinary one; absent is fine."""
        await store.check()
        await store.put("w/gone", b"x")
        for _ in range(2):
            await store.delete("w/gone", expires=store.now() + MINUTE)
        assert await every_key(store, "w/") == []

    async def test_windowed_race_has_one_winner(self, store: ObjectStore) -> None:
        """A window changes nothing about races: one creator wins, then one update."""
        open_until = store.now() + MINUTE
        bodies = [b"racer %d" % number for number in range(self.racers)]
        _, base = await one_winner(store.put("race", body, condition=IF_ABSENT, expires=open_until) for body in bodies)
        bodies = [b"second %d" % number for number in range(self.racers)]
        number, _ = await one_winner(
            store.put("race", body, condition=IfMatch(base.etag), expires=open_until) for body in bodies
        )
        assert (await store.get("race")).body == bodies[number]

    async def test_dates_are_plausible_and_do_not_run_back(self, store: ObjectStore) -> None:
        """What the store says of its time is near ours and, to the second, never goes back."""
        dates: list[int] = []
        for number in range(5):
            dates.append((await store.put("t", b"%d" % number)).date)
            dates.append((await store.get("t")).date)
        (listed,) = (await store.list("t")).objects
        for date in (*dates, listed.modified, store.now()):
            self.assert_plausible(date)
        for earlier, later in pairwise(dates):
            assert later > earlier - 1000
        assert store.now() > dates[-1] - 2000
