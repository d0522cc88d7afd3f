"""Another process of this machine that works for this one: it is sent messages over a pipe, and answers each.

It ends with the pipe, so with this process, however that ends. A message is its length in 4 bytes, and its bytes; the
answer is `DONE` or `FAILED`, one byte, and what the two agree on.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from fhirstore.fhir.definitions.load import definitions
from fhirstore.index.local.catalogue import Catalogue, Texts
from fhirstore.index.local.file import IndexFile

LENGTH = 4
DONE, FAILED = b"+", b"-"
_NICE = 5
_SELDOM = 16  # messages between collections of garbage


class Start(msgspec.Struct, frozen=True, array_like=True):
    """The first message: which index file. `inode`: of the one that the parent has open; `release`, `bases`, `texts`:
    of its catalogue.
    """

    path: str
    inode: int
    identity: str
    release: str
    bases: tuple[str, ...]
    texts: Texts

    @classmethod
    def of(cls, file: IndexFile, identity: str) -> Start:
        """Names a file that this process has open."""
        catalogue = file.catalogue
        release, bases = catalogue.definitions.release, tuple(sorted(catalogue.bases))
        return cls(str(file.path.absolute()), file.inode, identity, release, bases, catalogue.texts)


_encode = msgspec.msgpack.Encoder().encode
_decode_start = msgspec.msgpack.Decoder(Start).decode


class Child:
    """Runs `python -m {module}`. Made by `start`; the caller must `end` it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, module: str, start: Start) -> Child:
        """Raises OSError, IncompleteReadError where it cannot open the index."""
        pipe = asyncio.subprocess.PIPE
        child = cls(await asyncio.create_subprocess_exec(sys.executable, "-m", module, stdin=pipe, stdout=pipe))
        try:
            if not await child.said(_encode(start)):
                raise OSError("the child cannot open the index")
        except BaseException:
            await child.end()
            raise
        return child

    async def said(self, body: bytes) -> bool:
        """Sends a message. Returns whether the child says that it is done. Raises OSError, IncompleteReadError."""
        source = self.process.stdin
        if source is None:
            return False
        source.write(len(body).to_bytes(LENGTH))
        source.write(body)
        await source.drain()
        return await self._read(1) == DONE

    async def more(self) -> bytes:
        """Returns the message that comes with its answer. Raises OSError, IncompleteReadError."""
        return await self._read(int.from_bytes(await self._read(LENGTH)))

    async def end(self) -> None:
        """Kills it."""
        with suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()

    async def _read(self, size: int) -> bytes:
        answers = self.process.stdout
        return b"" if answers is None else await answers.readexactly(size)


# --- in the child -------------------------------------------------------------------------------------------


class Messages:
    """What the parent sends, in the child: the file, and then one message after the other, each to be answered.

    The garbage collector is off, since it would walk over all rows that are being made again and again; what is left in
    circles is collected after some messages.
    """

    def __init__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # those of a terminal; the end of the pipe ends it
        os.nice(_NICE)
        gc.disable()
        self._source, self._answers = sys.stdin.buffer, sys.stdout.buffer
        self._count = 0

    def file(self) -> IndexFile | None:
        """Returns the file that the first message names; None where it cannot be opened, or the pipe has ended."""
        body = self.next()
        if body is None:
            return None
        try:
            file = _opened(_decode_start(body))
        except Exception:  # noqa: BLE001 - whatever it is: the parent does without
            self.answer(FAILED)
            return None
        self.answer(DONE)
        gc.collect()
        gc.freeze()
        return file

    def next(self) -> bytes | None:
        """Returns the next message; None where the pipe has ended, in the middle of one, too."""
        self._count += 1
        if self._count % _SELDOM == 0:
            gc.collect()
        return _received(self._source)

    def answer(self, said: bytes, more: bytes | None = None) -> None:
        """Answers. Ends the process where the parent is gone."""
        try:
            self._answers.write(said)
            if more is not None:
                self._answers.write(len(more).to_bytes(LENGTH))
                self._answers.write(more)
            self._answers.flush()
        except BrokenPipeError:
            os._exit(0)


def _received(source: BinaryIO) -> bytes | None:
    size = source.read(LENGTH)
    body = source.read(int.from_bytes(size)) if len(size) == LENGTH else b""
    return body if body and len(body) == int.from_bytes(size) else None


def _opened(start: Start) -> IndexFile:
    path = Path(start.path)
    if path.stat().st_ino != start.inode:
        raise FileNotFoundError(start.path)
    catalogue = Catalogue.of(definitions(start.release), start.bases, texts=start.texts)
    file = IndexFile.open(path, catalogue, identity=start.identity, anew=False)
    if file.inode != start.inode:
        raise FileNotFoundError(start.path)
    return file
