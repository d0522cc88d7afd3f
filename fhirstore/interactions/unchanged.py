"""Whether a write would change the current version. If not, it need not make a new one.

Two resources are equal if they differ only in the order of members, `meta.versionId` and `meta.lastUpdated`. Numbers
are compared as they are written: 1.0 is not 1.00 (https://hl7.org/fhir/R4/datatypes.html#decimal).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.fhir import json

_sorted = msgspec.json.Encoder(order="deterministic").encode


def says_the_same(build: Callable[[int, int], bytes], stored: bytes, *, version: int, t: int) -> bool:
    """Whether `build`, given the stored version's id and time, makes the stored content."""
    built = build(version, t)
    return built == stored or _sorted(json.parse(built)) == _sorted(json.parse(stored))
