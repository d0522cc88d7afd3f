"""Would an update change anything? Then it need not make a version.

Two resources say the same if they are equal but for the order of members, `meta.versionId` and `meta.lastUpdated`.
Numbers are compared as they are written: 1.0 is not 1.00 (https://hl7.org/fhir/R4/datatypes.html#decimal).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fhirstore.fhir import json

_sorted = msgspec.json.Encoder(order="deterministic").encode


def says_the_same(build: Callable[[int, int], bytes], stored: bytes, *, version: int, t: int) -> bool:
    """Is what `build` would make of the stored version's number and time the stored content?"""
    built = build(version, t)
    return built == stored or _sorted(json.parse(built)) == _sorted(json.parse(stored))
