"""The check of a file that was downloaded, and its way from NAME.part to what NAME will hold.

NAME.part has the bytes as they were sent. Compressed ones are unpacked into NAME.unpacked beside it. Runs in a thread;
memory is a few pieces of a megabyte.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PIECE = 1 << 20


class Damaged(Exception):
    """The bytes that were sent are not what they say they are."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the unpacked file is: bytes, SHA-256 in hexadecimal, lines that are not blank. `at`: where it lies."""

    size: int
    sha256: str
    count: int
    at: Path


def part_of(path: Path) -> Path:
    """Where the bytes of a download are collected."""
    return path.with_name(f"{path.name}.part")


def unpacked_of(path: Path) -> Path:
    """Where compressed bytes are unpacked."""
    return path.with_name(f"{path.name}.unpacked")


def examine(path: Path, encoding: str | None) -> Facts:
    """Reads NAME.part to its end, and unpacks it where it is compressed. The result is on the disk when this returns.

    Raises Damaged for what cannot be unpacked; OSError for a full disk.
    """
    digest, size, count, in_line = hashlib.sha256(), 0, 0, False
    part, target = part_of(path), unpacked_of(path)
    pieces = _pieces(part) if encoding is None else _written(_unpacked(part), target)
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
        lines = piece.split(b"\n")
        for number, line in enumerate(lines):
            in_line = in_line or bool(line.strip())
            if number < len(lines) - 1:
                count += in_line
                in_line = False
    at = part if encoding is None else target
    with at.open("rb") as file:
        os.fsync(file.fileno())
    return Facts(size, digest.hexdigest(), count + in_line, at)


def settle(path: Path) -> None:
    """Gives the file that was examined its name, and removes what is not needed any more. May be done again."""
    part, unpacked = part_of(path), unpacked_of(path)
    if unpacked.exists():
        unpacked.replace(path)
    elif part.exists():
        part.replace(path)
    part.unlink(missing_ok=True)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _written(pieces: Iterator[bytes], path: Path) -> Iterator[bytes]:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            yield piece


def _unpacked(path: Path) -> Iterator[bytes]:
    """The bytes in a gzip file of one or more members (RFC 1952)."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        for piece in _pieces(path):
            rest = piece
            while rest:
                if unpacker.eof:
                    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
                if unpacked := unpacker.decompress(rest, _PIECE):
                    yield unpacked
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise Damaged(f"it cannot be unpacked ({error})") from error
    while not unpacker.eof and (unpacked := unpacker.decompress(b"", _PIECE)):
        yield unpacked
    if not unpacker.eof:
        raise Damaged("its compressed bytes end too early")
