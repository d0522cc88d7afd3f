"""Packs the official examples into tests/data/examples.xz.

Use: `python -m tests.fhir.validation.pack 4.0=DIR 4.3=DIR 5.0=DIR`.

Each DIR is an unpacked package (`hl7.fhir.r4.examples@4.0.1`, `hl7.fhir.r4b.examples@4.3.0`,
`hl7.fhir.r5.examples@5.0.0`, CC0). Left out is what is longer than 100 KB, 60 KB for terminology and types, unless it
is refused. A line is `release file json`, sorted so that what the releases share is close together: xz then makes two
megabytes of fifty.
"""

from __future__ import annotations

import lzma
import sys
from pathlib import Path

from fhirstore.fhir import json
from tests.fhir.validation.examples import PACKED, files
from tests.fhir.validation.refused import REFUSED

_LONGEST, _LONGEST_OF_MANY, _LONGEST_REFUSED = 100_000, 60_000, 500_000
_MANY = frozenset({"CodeSystem", "StructureDefinition", "ValueSet"})
_FILTER = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 128 << 20}


def pack(folders: list[tuple[str, Path]]) -> bytes:
    """The packed lines."""
    rows: list[tuple[str, str, str, bytes]] = []
    for release, folder in folders:
        for file, body in files(folder):
            resource = json.parse(body, max_values=None)
            type_, line = str(resource["resourceType"]), json.encode(resource)
            longest = _LONGEST_OF_MANY if type_ in _MANY else _LONGEST
            if len(line) <= (_LONGEST_REFUSED if file in REFUSED[release] else longest):
                rows.append((type_, file, release, line))
    lines = b"".join(b"%s %s %s\n" % (row[2].encode(), row[1].encode(), row[3]) for row in sorted(rows))
    return lzma.compress(lines, lzma.FORMAT_XZ, filters=[_FILTER])


if __name__ == "__main__":
    PACKED.write_bytes(pack([(name, Path(path)) for name, _, path in (one.partition("=") for one in sys.argv[1:])]))
