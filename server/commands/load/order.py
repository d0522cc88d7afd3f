"""Which files come first, when their Bundles are sent to be processed.

A transaction may refer to what is stored by then (`Practitioner?identifier=…`), so all else goes before it. Of what
Synthea writes, hospitals go first, then practitioners, whatever kind of Bundle they are in.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from server.commands.load.reading import SourceFile

_FIRST = ("hospitalInformation", "practitionerInformation")
_HEAD = 1 << 14  # bytes of a file in which the type of its Bundle is expected
_TRANSACTION = re.compile(rb'"type"\s*:\s*"transaction"')


def in_turns(files: Sequence[SourceFile]) -> list[list[SourceFile]]:
    """The files in groups; each is to be loaded to its end before the next one."""
    turns: dict[int, list[SourceFile]] = {}
    for file in files:
        turns.setdefault(_turn(file.path), []).append(file)
    return [turns[number] for number in sorted(turns)]


def _turn(path: Path) -> int:
    for number, name in enumerate(_FIRST):
        if name in path.name:
            return number
    return len(_FIRST) + _begins_a_transaction(path)


def _begins_a_transaction(path: Path) -> bool:
    """By its head, without reading it all. An NDJSON file may be a mixture, and keeps its own order."""
    if path.name.removesuffix(".gz").endswith(".ndjson"):
        return False
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            head = file.read(_HEAD).partition(b'"entry"')[0]
    except (OSError, EOFError, zlib.error):
        return False  # told when it is read
    return b'"Bundle"' in head and _TRANSACTION.search(head) is not None
