"""The keys of runs say exactly which run they are of, and no name leaves its dataset's folder."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirstore.errors import CorruptRecord, InvalidName
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import (
    LONGEST_TOMBSTONE,
    Seal,
    SealedFile,
    Tombstone,
    decode_seal,
    parse_run_key,
    run_keys,
    stored_as,
)

KEYS = Keyspace("t/")
PARTITIONS = st.dictionaries(st.from_regex(r"[A-Za-z][A-Za-z0-9_-]{0,9}", fullmatch=True), st.text(), max_size=9)
IDS = st.from_regex(r"[A-Za-z0-9._-]{0,8}", fullmatch=True)
FILE = SealedFile(name="a", object="a", size=1, sha256="0" * 64, count=0, raw_size=1)


@given(PARTITIONS, IDS, st.text(max_size=8))
def test_a_key_is_read_as_it_was_built(partition: dict[str, str], run_id: str, dataset: str) -> None:
    """Whatever the values are; or the name is refused."""
    try:
        run = run_keys(KEYS, dataset, partition, run_id)
    except InvalidName:
        return
    assert run.folder.count("/") == 4 + len(partition)
    assert run.folder.startswith("t/runs/")
    assert run.folder.isascii()
    assert not {"", ".", ".."} & set(run.folder[:-1].split("/"))
    for key, name in ((run.claim, "_writer.json"), (run.seal, "metadata.json"), (run.file("a.x"), "a.x")):
        assert parse_run_key(KEYS, key) == (run, name)


@given(st.text(alphabet="abrun_id=%2F/.-~A0", max_size=40))
def test_a_foreign_key_is_of_no_run(rest: str) -> None:
    """A key is of a run only if it is exactly what is built."""
    parsed = parse_run_key(KEYS, f"t/runs/{rest}")
    if parsed is not None:
        run, name = parsed
        assert run_keys(KEYS, run.dataset, dict(run.partition), run.run_id) == run
        assert run.folder + name == f"t/runs/{rest}"


def test_attempts_share_no_name() -> None:
    """The one with the claim has the plain name."""
    assert stored_as("payload.jsonl", attempt=None, suffix=".gz") == "payload.jsonl.gz"
    assert stored_as("payload.jsonl", attempt="01X", suffix="") == "payload.01X.jsonl"
    assert stored_as("payload", attempt="01X", suffix="") == "payload.01X"
    names = ("a", "a.b", "a.b.c", "ab")
    stored = {stored_as(name, attempt=attempt, suffix="") for name in names for attempt in (None, "01X", "01Y")}
    assert len(stored) == 12


def test_a_seal_is_longer_than_any_tombstone() -> None:
    """So a listing tells them apart by their sizes."""
    shortest = Seal(run_id="r", dataset="d", partition={}, attempt="0" * 26, created=0, files=(FILE,)).encode()
    longest = Tombstone("0" * 26, 10**13).encode()
    assert len(longest) <= LONGEST_TOMBSTONE < len(shortest)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"x" * 200,
        Seal(run_id="x", dataset="d", partition={}, attempt="a", created=0, files=(FILE,)).encode(),
        Seal(run_id="r", dataset="d", partition={"a": "b"}, attempt="a", created=0, files=(FILE,)).encode(),
        Seal(run_id="r", dataset="d" * 90, partition={}, attempt="a", created=0, files=()).encode(),
        Seal(run_id="r", dataset="d", partition={}, attempt="a", created=0, files=(FILE,))
        .encode()
        .replace(b'"object":"a"', b'"object":"../../a"'),
    ],
)
def test_a_seal_that_is_none_is_corrupt(body: bytes) -> None:
    """Also one of another run, one without files, and one whose files lie elsewhere."""
    with pytest.raises(CorruptRecord):
        decode_seal(body, run_keys(KEYS, "d", {}, "r"))
