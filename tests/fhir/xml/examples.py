"""The official examples: those in the repository, and whole packages where they are unpacked.

`FHIRSTORE_EXAMPLES` names folders that hold a package's JSON files, each with its release, parted by colons:
`FHIRSTORE_EXAMPLES=4.0=/packages/hl7.fhir.r4.examples/package:5.0=/packages/hl7.fhir.r5.examples/package`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from fhirstore.fhir import json

DATA = Path(__file__).parents[2] / "data" / "r4-examples.ndjson"


def examples() -> Iterator[tuple[str, str, json.JsonObject]]:
    """Name, release and resource of every example there is."""
    for number, line in enumerate(DATA.read_bytes().splitlines()):
        yield f"line {number + 1}", "4.0", json.parse(line)
    for folder in filter(None, os.environ.get("FHIRSTORE_EXAMPLES", "").split(":")):
        release, _, path = folder.partition("=")
        for file in sorted(Path(path).glob("*.json")):
            resource = json.parse(file.read_bytes())
            if "resourceType" in resource:
                yield file.name, release, resource


def canonical(resource: json.JsonObject) -> bytes:
    """JSON with its members sorted: equal for equal resources, literals of numbers included."""
    return msgspec.json.encode(resource, order="sorted")
