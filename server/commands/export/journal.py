"""The record of an export in its own folder: what a later command needs to go on where this one stopped.

`export.journal` has a line of JSON for each event and is only ever appended to. A last line that was cut off by a kill
is as if it had never been. URLs of files are not in it: they may be secrets, and the manifest is asked for again.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Literal, Self, TypeAlias

import msgspec

from server.commands.export.manifest import Section
from server.commands.export.order import CannotExport, Order
from server.commands.urls import shown

NAME = "export.journal"
End: TypeAlias = Literal["complete", "cancelled", "failed"]


class Ordered(msgspec.Struct, frozen=True, tag_field="event", tag="order"):
    """The first line: what is exported into this folder."""

    order: Order


class Started(msgspec.Struct, frozen=True, tag_field="event", tag="job"):
    """The server took the order. `url`: where its status is asked for."""

    url: str


class Begun(msgspec.Struct, frozen=True, tag_field="event", tag="part"):
    """NAME.part begins anew with bytes in `encoding` (None: as they are) of the representation that `validator` names.

    `validator` is for If-Range; None: the server gave none, and a cut download begins anew.
    """

    name: str
    validator: str | None
    encoding: str | None


class Whole(msgspec.Struct, frozen=True, tag_field="event", tag="whole"):
    """A file that was checked, and is renamed next. `size` in bytes, `sha256` and `count` of lines: of NAME."""

    name: str
    section: Section
    type: str
    size: int
    count: int
    sha256: str


class Ended(msgspec.Struct, frozen=True, tag_field="event", tag="end"):
    """How the export ended; it is not resumed."""

    how: End
    transaction_time: str | None = None


Line: TypeAlias = Ordered | Started | Begun | Whole | Ended
_read = msgspec.json.Decoder(Line).decode


class Journal:
    """The journal of one folder, held by one process. What it says is kept in memory: a few hundred bytes a file."""

    def __init__(self, folder: Path, file: int) -> None:
        self.folder = folder
        self.order: Order | None = None
        self.job: str | None = None
        self.parts: dict[str, Begun] = {}
        self.whole: dict[str, Whole] = {}
        self.ended: Ended | None = None
        self._file = file

    @classmethod
    def open(cls, folder: Path, order: Order) -> Self:
        """Opens the folder for `order`, and holds it until `close`.

        Raises CannotExport where the folder holds anything else, another export, or an ended one with files, or where
        another process works in it.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            new = not (folder / NAME).exists()
            if new and any(folder.iterdir()):
                raise CannotExport(f"{folder} is not empty, and holds no export that could go on. Choose another --out")
            file = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise CannotExport(f"{folder}: {error.strerror}") from error
        journal = cls(folder, file)
        try:
            journal._hold()
            journal._replay()
            journal._check(order)
        except BaseException:
            journal.close()
            raise
        return journal

    def close(self) -> None:
        """Lets another process have the folder."""
        os.close(self._file)

    def add(self, line: Line) -> None:
        """Appends a line. It is on the disk when this returns. Raises OSError, such as for a full disk."""
        rest = msgspec.json.encode(line) + b"\n"
        whole = os.fstat(self._file).st_size
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, whole)  # a later line must not be joined to half of this one
            raise
        self._take(line)

    def _hold(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CannotExport(f"{self.folder}: another fhirstore export is at work there") from error

    def _replay(self) -> None:
        good = 0
        with (self.folder / NAME).open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                try:
                    self._take(_read(line))
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise CannotExport(f"{self.folder / NAME} is damaged at byte {good}: {error}") from error
                good += len(line)
        os.ftruncate(self._file, good)

    def _take(self, line: Line) -> None:
        if isinstance(line, Ordered):  # the first, or that of a new try after one that left no file
            self.order, self.job, self.ended = line.order, None, None
            self.parts.clear()
        elif isinstance(line, Started):
            self.job = line.url
        elif isinstance(line, Begun):
            self.parts[line.name] = line
            self.whole.pop(line.name, None)
        elif isinstance(line, Whole):
            self.whole[line.name] = line
            self.parts.pop(line.name, None)
        else:
            self.ended = line

    def _check(self, order: Order) -> None:
        if self.order is None or (self.job is None and not self.whole):
            self.add(Ordered(order))
            return
        if self.order != order:
            other = f"{shown(self.order.endpoint)}, {_told(self.order)}"
            raise CannotExport(f"{self.folder} holds another export ({other}). Choose another --out")
        if self.ended is not None and self.ended.how != "complete":
            if self.whole:
                raise CannotExport(
                    f"{self.folder} holds files of an export that {_ENDS[self.ended.how]}. Choose another --out"
                )
            self.add(Ordered(order))


_ENDS: dict[End, str] = {"cancelled": "was cancelled", "failed": "failed", "complete": "is complete"}


def _told(order: Order) -> str:
    """The parameters of an order, as the options that give them."""
    options = [f"--type {','.join(order.types)}"] if order.types else []
    options += [f"--since {order.since}"] if order.since else []
    options += [f"--until {order.until}"] if order.until else []
    options += [f"--type-filter {each}" for each in order.type_filters]
    options += [f"--elements {','.join(order.elements)}"] if order.elements else []
    options += [f"--tenant {order.tenant}"] if order.tenant else []
    return " ".join(options) or "no parameters"
