"""An unpacked FHIR package: a folder of JSON files, one conformance resource each.

https://hl7.org/fhir/R4/packages.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fhirstore.fhir.definitions.nodes import Node


@dataclass(frozen=True, slots=True)
class Package:
    """`folder` holds package.json; `version`: the FHIR version its resources are of, like "4.0.1"."""

    folder: Path
    version: str

    def resources(self, type: str) -> Iterator[Node]:
        """The package's resources of one conformance type, by file name, so that each run sees the same order."""
        for path in sorted(self.folder.glob(f"{type}-*.json"), key=lambda path: path.name):
            resource = json.loads(path.read_bytes())
            if resource.get("resourceType") == type:
                yield resource


def open_package(folder: Path) -> Package:
    """The package in `folder`, or in its folder `package`, as archives unpack. FileNotFoundError when there is none."""
    inner = folder / "package"
    if inner.is_dir():
        folder = inner
    versions = json.loads((folder / "package.json").read_bytes())["fhirVersions"]
    return Package(folder, versions[0])
