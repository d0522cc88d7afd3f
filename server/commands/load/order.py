"""The order of files whose Bundles are sent to be processed.

A transaction may refer to stored resources (`Practitioner?identifier=…`), so everything else is sent before it. Of the
files that Synthea writes, hospitals are first, then practitioners, whatever the type of their Bundle is.

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
    """Returns the files in groups; each must be loaded completely before the next one."""
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
    """Whether the head of the file says so. An NDJSON file may have both kinds, and keeps its own order."""
    if path.name.removesuffix(".gz").endswith(".ndjson"):
        return False
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            head = file.read(_HEAD).partition(b'"entry"')[0]
    except (OSError, EOFError, zlib.error):
        return False  # reported when the file is read
    return b'"Bundle"' in head and _TRANSACTION.search(head) is not None
