"""Whether a write would change the current version. If not, it need not make a new one.

Two resources are equal if they differ only in the order of members, `meta.versionId` and `meta.lastUpdated`. Numbers
are compared as they are written: 1.0 is not 1.00 (https://hl7.org/fhir/R4/datatypes.html#decimal).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.commit.moving_out import content_of
from fhirstore.fhir import json
from fhirstore.format.digest import sha256
from fhirstore.format.marker import marked, with_marker

_sorted = msgspec.json.Encoder(order="deterministic").encode


def says_the_same(build: Callable[[int, int], bytes], stored: bytes, *, version: int, t: int) -> bool:
    """Whether `build`, given the stored version's id and time, makes the stored content."""
    built = as_stored(build(version, t), stored)
    return built == stored or _sorted(json.parse(built)) == _sorted(json.parse(stored))


def as_stored(built: bytes, stored: bytes) -> bytes:
    """Returns what was built as it would be stored: a Binary whose content the stored one has outside has no data."""
    said = marked(stored) if b'"Binary"' in stored else None
    if said is None:
        return built
    binary = json.parse(built, max_values=None)
    content = content_of(binary)
    if content is None or (sha256(content), len(content)) != said:
        return built
    return json.encode(with_marker(binary, *said))
