"""Sealed runs: their keys, and the three small objects that say what a run is.

A run is a folder `runs/{dataset}/{key}={value}/…/run_id={id}/`, in the style of Hive:

| object | content |
|---|---|
| `_writer.json` | the claim: `{"attempt":"01K…"}`, the attempt that owns the plain names; written once |
| `payload.jsonl`, … | a file of the attempt that has the claim |
| `payload.{attempt}.jsonl`, … | the same file of any other attempt |
| `metadata.json` | the seal (`Seal`): the run exists, and has these files; or the tombstone of a deleted run |

An attempt is one writer of one run; it has a ULID. So every key has one writer for ever, and what a dead writer's
requests do late harms nobody. A claim is given up by nobody: it stays until the run is deleted. A tombstone stays for
ever, so that an id that was deleted is never sealed again. Names that begin with `_` are hidden from Hive readers.

Values of partitions may be any text: what Hive would not write is percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

import msgspec

from fhirstore.errors import CorruptRecord, InvalidName
from fhirstore.format.keyspace import Keyspace

PAYLOAD = "payload.jsonl"
"""The file of a run whose writer names none."""

CLAIM, SEAL = "_writer.json", "metadata.json"
LONGEST_TOMBSTONE = 80
"""Bytes. Every seal is longer, since it has a file with a hash: so a LIST tells them apart."""

_RUN_ID = "run_id"
_DATASET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MOST_KEYS = 8
_LONGEST_SEGMENT = 200  # bytes of `key=value`, encoded: file systems and stores allow names of 255
_LONGEST_FOLDER = 700  # bytes from `runs/` on; keys of S3 have 1,024
_UNENCODED = "-_.~"  # besides letters and digits


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The keys of one run. Made by `run_keys`, which checks the names. `folder` ends with `/`."""

    folder: str
    dataset: str
    partition: tuple[tuple[str, str], ...]
    run_id: str

    @property
    def path(self) -> str:
        """The folders of the run below its dataset, without a slash at the end."""
        return "/".join([*(_segment(*pair) for pair in self.partition), f"{_RUN_ID}={self.run_id}"])

    @property
    def claim(self) -> str:
        return self.folder + CLAIM

    @property
    def seal(self) -> str:
        return self.folder + SEAL

    def file(self, object: str) -> str:
        """The key of a file. `object`: its last segment (`stored_as`)."""
        return self.folder + object


class SealedFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file of a run. `name`: as its writer called it. `object`: the last segment of its key.

    `size`: bytes as stored. `sha256`: of these bytes, hex. `count`: lines. `raw_size`: bytes before compression.
    """

    name: str
    object: str
    size: int
    sha256: str
    count: int
    raw_size: int
    encoding: Literal["gzip", "zstd"] | None = None


class Seal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The seal of a run. `created`: epoch ms on the store's clock. `metadata`: the writer's own, plain JSON values."""

    run_id: str
    dataset: str
    partition: dict[str, str]
    attempt: str
    created: int
    files: tuple[SealedFile, ...]
    metadata: dict[str, object] = {}
    tags: dict[str, str] = {}

    def encode(self) -> bytes:
        """The object's body."""
        return _encode(self)


class Tombstone(msgspec.Struct, frozen=True):
    """What replaces the seal of a run that was deleted. `attempt`: that had sealed it. `deleted`: epoch ms."""

    attempt: str
    deleted: int

    def encode(self) -> bytes:
        """The object's body."""
        return _encode(self)


class _Claim(msgspec.Struct, frozen=True):
    attempt: str


_encode = msgspec.json.Encoder().encode
_decode_seal = msgspec.json.Decoder(Seal).decode
_decode_tombstone = msgspec.json.Decoder(Tombstone).decode


def claim_of(attempt: str) -> bytes:
    """Returns the body of a claim."""
    return _encode(_Claim(attempt))


def decode_seal(body: bytes, keys: RunKeys) -> Seal | Tombstone:
    """Returns what a `metadata.json` says. Raises CorruptRecord if it is neither, or is of another run."""
    try:
        if len(body) <= LONGEST_TOMBSTONE:
            return _decode_tombstone(body)
        seal = _decode_seal(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(keys.seal) from error
    if (seal.run_id, seal.dataset, seal.partition) != (keys.run_id, keys.dataset, dict(keys.partition)):
        raise CorruptRecord(keys.seal)
    if not seal.files or not all(_is_object(file.object) for file in seal.files):
        raise CorruptRecord(keys.seal)
    return seal


# --- keys ---------------------------------------------------------------------------------------------------


def dataset_prefix(keys: Keyspace, dataset: str) -> str:
    """Returns the prefix of a dataset. Raises InvalidName."""
    if not (_is_text(dataset) and _DATASET.fullmatch(dataset)):
        raise InvalidName(
            "A dataset's name has 1 to 100 characters of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return f"{keys.runs()}{dataset}/"


def partition_prefix(keys: Keyspace, dataset: str, partition: Mapping[str, str]) -> str:
    """Returns the prefix of a partition: of its runs, and of the partitions below it. Raises InvalidName."""
    if len(partition) > _MOST_KEYS:
        raise InvalidName(f"A partition has at most {_MOST_KEYS} keys")
    return dataset_prefix(keys, dataset) + "".join(f"{_segment(key, value)}/" for key, value in partition.items())


def run_keys(keys: Keyspace, dataset: str, partition: Mapping[str, str], run_id: str) -> RunKeys:
    """Returns the keys of a run. Raises InvalidName where a name is malformed."""
    if not (_is_text(run_id) and _ID.fullmatch(run_id)):
        raise InvalidName("A run id has 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first")
    folder = f"{partition_prefix(keys, dataset, partition)}{_RUN_ID}={run_id}/"
    if len(folder) - len(keys.prefix) > _LONGEST_FOLDER:
        raise InvalidName(f"The names of a run, encoded, have at most {_LONGEST_FOLDER} characters in all")
    return RunKeys(folder, dataset, tuple(partition.items()), run_id)


def _segment(key: str, value: str) -> str:
    if not (_is_text(key) and _KEY.fullmatch(key)) or key == _RUN_ID:
        raise InvalidName("A partition's key has 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-', and is not run_id")
    if not _is_text(value):
        raise InvalidName("A partition's value must be text; write a number or a date as str(value)")
    try:
        segment = f"{key}={quote(value, safe=_UNENCODED)}"
    except UnicodeEncodeError as error:
        raise InvalidName("A partition's value must be Unicode text") from error
    if not value or len(segment) > _LONGEST_SEGMENT:
        raise InvalidName(f"A partition's value is not empty, and has at most {_LONGEST_SEGMENT} bytes with its key")
    return segment


def check_name(name: str) -> str:
    """Returns the name of a file of a run. Raises InvalidName where it is malformed, or one of the format's own."""
    if not (_is_text(name) and _NAME.fullmatch(name)) or name == SEAL:
        raise InvalidName(
            "A file's name has 1 to 100 characters of A-Z, a-z, 0-9, '.', '_' and '-', a letter or digit first"
        )
    return name


def stored_as(name: str, *, attempt: str | None, suffix: str) -> str:
    """Returns the last segment of a file's key. `attempt`: None for the one with the claim. `suffix`: .gz, .zst, ""."""
    if attempt is not None:
        stem, dot, rest = name.partition(".")
        name = f"{stem}.{attempt}{dot}{rest}"
    return name + suffix


def _is_text(name: object) -> bool:
    """Returns whether a name that a caller gave is text at all: a number is a usual slip, as in `{"year": 2026}`."""
    return isinstance(name, str)


def _is_object(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..", CLAIM, SEAL)


# --- from keys ----------------------------------------------------------------------------------------------


def parse_segment(segment: str) -> tuple[str, str] | None:
    """Returns key and value of `key=value`; None where it is not exactly what is written."""
    key, equals, value = segment.partition("=")
    if not equals:
        return None
    if key == _RUN_ID:
        return (key, value) if _ID.fullmatch(value) else None
    try:
        value = unquote(value, errors="strict")
        return (key, value) if _segment(key, value) == segment else None
    except (InvalidName, UnicodeDecodeError):
        return None


def is_run(pair: tuple[str, str]) -> bool:
    """Returns whether this is the last folder of a run, and not one of a partition."""
    return pair[0] == _RUN_ID


def parse_run_key(keys: Keyspace, key: str) -> tuple[RunKeys, str] | None:
    """Returns the run that a key belongs to, and its last segment; None where it is the key of no run's object."""
    dataset, *segments = key.removeprefix(keys.runs()).split("/")
    name = segments.pop() if segments else ""
    pairs = [parse_segment(segment) for segment in segments]
    whole = [pair for pair in pairs if pair is not None]
    if not whole or len(whole) < len(pairs) or [n for n, pair in enumerate(whole) if is_run(pair)] != [len(whole) - 1]:
        return None
    try:
        run = run_keys(keys, dataset, dict(whole[:-1]), whole[-1][1])
    except InvalidName:
        return None
    return (run, name) if name and run.folder + name == key else None
