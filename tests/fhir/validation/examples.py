"""The official examples of every release: those in the repository, and whole packages where they are unpacked.

`FHIRSTORE_EXAMPLES` names folders of unpacked packages, each with its release, parted by colons:
`FHIRSTORE_EXAMPLES=4.0=/packages/hl7.fhir.r4.examples/package:5.0=/packages/hl7.fhir.r5.examples/package`.
"""

from __future__ import annotations

import lzma
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

PACKED = Path(__file__).parents[2] / "data" / "examples.xz"


@lru_cache(maxsize=1)
def packed() -> tuple[tuple[str, str, bytes], ...]:
    """(release, file, JSON) of what is in the repository."""
    lines = (line.split(b" ", 2) for line in lzma.decompress(PACKED.read_bytes()).split(b"\n") if line)
    return tuple((release.decode(), file.decode(), body) for release, file, body in lines)


def packages() -> Iterator[tuple[str, str, bytes]]:
    """(release, file, JSON) of the packages that are there."""
    for folder in filter(None, os.environ.get("FHIRSTORE_EXAMPLES", "").split(":")):
        release, _, path = folder.partition("=")
        yield from ((release, file, body) for file, body in files(Path(path)))


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The examples of one package."""
    for file in sorted(folder.glob("*.json")):
        if file.name != "package.json":
            yield file.name, file.read_bytes()


def of(release: str) -> list[tuple[str, bytes]]:
    """(file, JSON) of one release, from the repository."""
    return [(file, body) for one, file, body in packed() if one == release]
