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
    """`folder` holds package.json; `version` is the FHIR version of its resources, like "4.0.1"."""

    folder: Path
    version: str

    def resources(self, type: str) -> Iterator[Node]:
        """Yields the package's resources of one type, sorted by file name, so that each run has the same order."""
        for path in sorted(self.folder.glob(f"{type}-*.json"), key=lambda path: path.name):
            resource = json.loads(path.read_bytes())
            if resource.get("resourceType") == type:
                yield resource


def open_package(folder: Path) -> Package:
    """Returns the package in `folder`, or in its folder `package` (as archives unpack). Raises FileNotFoundError."""
    inner = folder / "package"
    if inner.is_dir():
        folder = inner
    versions = json.loads((folder / "package.json").read_bytes())["fhirVersions"]
    return Package(folder, versions[0])
