"""Any sequence of verbs leaves the memory and the embedded store as it leaves a dict."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fhirstore.errors import ObjectNotFound, PreconditionFailed
from fhirstore.objects.base import IF_ABSENT, Condition, IfMatch, ObjectStore
from fhirstore.objects.embedded.database import DATABASE
from fhirstore.objects.embedded.store import EmbeddedStore
from fhirstore.objects.facts import UNTYPED, Facts
from fhirstore.objects.memory import MemoryStore
from tests.objects.store_under_test import chunks_of

T = TypeVar("T")

SEGMENTS = st.sampled_from(["a", "a-b", "a.b", "a1", "b", "é", "\U0001f600"])
KEYS = st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join)
PREFIXES = st.one_of(st.just(""), KEYS, KEYS.map(lambda key: key + "/"))
TAGS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["", "1"]), max_size=2)
FACTS = st.builds(
    Facts,
    content_type=st.sampled_from([None, "text/plain"]),
    metadata=st.dictionaries(st.sampled_from(["m", "n"]), st.sampled_from(["1", "2"]), max_size=2),
    tags=TAGS,
)
BODIES = st.sampled_from([b"", b"a", b"b", b"a longer body", b"another longer body"])


class AgainstADict(RuleBasedStateMachine):
    """A store, and the dict it should be like."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.model: dict[str, bytes] = {}
        self.facts: dict[str, Facts] = {}  # of keys that have some
        self.store: ObjectStore = self.open()

    def open(self) -> ObjectStore:
        """The store under test, empty."""
        return MemoryStore()

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Run to the end on this machine's loop."""

        async def awaited() -> T:
            return await awaitable

        return self.loop.run_until_complete(awaited())

    def teardown(self) -> None:
        self.wait(self.store.aclose())
        self.loop.close()

    def put(self, key: str, body: bytes, condition: Condition | None, *, applies: bool) -> None:
        """PUT, and see that it is applied or refused as the dict says."""
        if applies:
            self.wait(self.store.put(key, body, condition=condition))
            self.model[key] = body
            self.facts.pop(key, None)
        else:
            with pytest.raises(PreconditionFailed):
                self.wait(self.store.put(key, body, condition=condition))

    @rule(key=KEYS, body=BODIES)
    def put_plain(self, key: str, body: bytes) -> None:
        self.put(key, body, None, applies=True)

    @rule(key=KEYS, body=BODIES)
    def put_if_absent(self, key: str, body: bytes) -> None:
        self.put(key, body, IF_ABSENT, applies=key not in self.model)

    @rule(key=KEYS, expected=BODIES, body=BODIES)
    def put_if_match(self, key: str, expected: bytes, body: bytes) -> None:
        etag = self.wait(self.store.put("etag", expected)).etag  # an ETag is the body's, wherever it lies
        self.wait(self.store.delete("etag"))
        self.put(key, body, IfMatch(etag), applies=self.model.get(key) == expected)

    @rule(key=KEYS, body=BODIES)
    def put_stream(self, key: str, body: bytes) -> None:
        self.wait(self.store.put_stream(key, chunks_of([body[:3], body[3:]])))
        self.model[key] = body
        self.facts.pop(key, None)

    @rule(key=KEYS, body=BODIES, facts=FACTS, streamed=st.booleans())
    def put_with_facts(self, key: str, body: bytes, facts: Facts, streamed: bool) -> None:
        if streamed:
            self.wait(self.store.put_stream(key, chunks_of([body]), facts=facts))
        else:
            self.wait(self.store.put(key, body, facts=facts))
        self.model[key], self.facts[key] = body, facts

    @rule(source=KEYS, key=KEYS, facts=st.none() | FACTS)
    def copy(self, source: str, key: str, facts: Facts | None) -> None:
        if source not in self.model:
            with pytest.raises(ObjectNotFound):
                self.wait(self.store.copy(source, key, facts=facts))
            return
        self.wait(self.store.copy(source, key, facts=facts))
        self.model[key] = self.model[source]
        self.facts[key] = self.facts.get(source, Facts()) if facts is None else facts

    @rule(key=KEYS, tags=TAGS)
    def set_tags(self, key: str, tags: dict[str, str]) -> None:
        if key not in self.model:
            with pytest.raises(ObjectNotFound):
                self.wait(self.store.set_tags(key, tags))
            return
        self.wait(self.store.set_tags(key, tags))
        self.facts[key] = msgspec.structs.replace(self.facts.get(key, Facts()), tags=tags)

    @rule(key=KEYS, parts=st.lists(BODIES, min_size=1, max_size=1), facts=st.none() | FACTS, again=st.booleans())
    def upload(self, key: str, parts: list[bytes], facts: Facts | None, again: bool) -> None:
        upload = self.wait(self.store.create_upload(key, facts=facts))
        if again:
            self.wait(self.store.put_part(key, upload, 1, b"replaced"))
        etags = [(n, self.wait(self.store.put_part(key, upload, n, part))) for n, part in enumerate(parts, 1)]
        self.wait(self.store.complete_upload(key, upload, etags))
        self.model[key], self.facts[key] = b"".join(parts), facts or Facts()

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.wait(self.store.delete(key))
        self.model.pop(key, None)
        self.facts.pop(key, None)

    @rule(keys=st.lists(KEYS, max_size=4))
    def delete_many(self, keys: list[str]) -> None:
        self.wait(self.store.delete_many(keys))
        for key in keys:
            self.model.pop(key, None)
            self.facts.pop(key, None)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        if key in self.model:
            found, info = self.wait(self.store.get(key)), self.wait(self.store.stat(key))
            facts = self.facts.get(key, Facts())
            assert (found.body, info.size, info.etag) == (self.model[key], len(self.model[key]), found.etag)
            assert (info.content_type, info.metadata) == (facts.content_type or UNTYPED, facts.metadata)
            assert self.wait(self.store.get_tags(key)) == facts.tags
        else:
            with pytest.raises(ObjectNotFound):
                self.wait(self.store.stat(key))
            with pytest.raises(ObjectNotFound):
                self.wait(self.store.get(key))

    @rule(
        prefix=PREFIXES,
        start_after=st.none() | KEYS,
        delimiter=st.booleans(),
        limit=st.sampled_from([1, 2, 3, 1000]),
    )
    def list(self, prefix: str, start_after: str | None, delimiter: bool, limit: int) -> None:
        keys = sorted(key for key in self.model if key.startswith(prefix) and key > (start_after or ""))
        expected: dict[str, int | None] = {}  # sizes; None for a folder
        for key in keys:
            slash = key.find("/", len(prefix)) if delimiter else -1
            if slash >= 0:
                expected[key[: slash + 1]] = None
            else:
                expected[key] = len(self.model[key])
        listed: dict[str, int | None] = {}
        page = self.wait(self.store.list(prefix, start_after=start_after, delimiter=delimiter, limit=limit))
        while True:
            found = {o.key: o.size for o in page.objects} | dict.fromkeys(page.prefixes)
            assert len(found) <= limit
            assert not found.keys() & listed.keys()
            listed |= found
            if page.cursor is None:
                break
            assert len(found) == limit
            page = self.wait(self.store.list(prefix, cursor=page.cursor, delimiter=delimiter, limit=limit))
        assert listed == expected

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        """Key by key, in order."""
        page = self.wait(self.store.list(""))
        assert [(o.key, o.size) for o in page.objects] == [(k, len(self.model[k])) for k in sorted(self.model)]


class EmbeddedAgainstADict(AgainstADict):
    """The same for a directory, with bodies of more than five bytes as files."""

    def open(self) -> ObjectStore:
        self.directory = tempfile.TemporaryDirectory()
        return self.wait(EmbeddedStore.open(Path(self.directory.name), large=5))

    @rule()
    def open_again(self) -> None:
        """Closing and opening changes nothing."""
        self.wait(self.store.aclose())
        self.store = self.wait(EmbeddedStore.open(Path(self.directory.name), large=5))

    def teardown(self) -> None:
        super().teardown()
        with closing(sqlite3.connect(Path(self.directory.name, DATABASE))) as database:
            references = "SELECT body, count(*) - 1 FROM objects WHERE body IS NOT NULL GROUP BY body"
            shared = database.execute(f"{references} HAVING count(*) > 1 ORDER BY body").fetchall()
            assert database.execute("SELECT body, more FROM shares ORDER BY body").fetchall() == shared
            bodies = database.execute("SELECT id FROM bodies ORDER BY id").fetchall()
            assert bodies == [(body,) for body, _ in database.execute(f"{references} ORDER BY body")]
            named = {name for (name,) in database.execute("SELECT file FROM bodies WHERE file IS NOT NULL")}
        assert {path.name for path in Path(self.directory.name, "bodies").iterdir()} >= named
        assert not any(Path(self.directory.name).glob("uploads/*"))
        self.directory.cleanup()


def test_memory_store_is_a_dict() -> None:
    """No sequence of verbs tells the memory store from a dict."""
    run_state_machine_as_test(AgainstADict, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))


@pytest.mark.slow
def test_embedded_store_is_a_dict() -> None:
    """No sequence of verbs tells the embedded store from a dict."""
    run_state_machine_as_test(
        EmbeddedAgainstADict,
        settings=settings(
            max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
