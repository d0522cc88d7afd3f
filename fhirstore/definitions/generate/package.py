"""An unpacked FHIR package: a folder of JSON files, one conformance resource each.

https://hl7.org/fhir/R4/packages.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

Node = Mapping[str, object]


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


def text(node: Node, name: str) -> str:
    """The member `name` of `node` as text, empty when it is not there."""
    value = node.get(name)
    return value if isinstance(value, str) else ""


def nodes(node: Node, name: str) -> tuple[Node, ...]:
    """The objects in the array `name` of `node`."""
    value = node.get(name)
    return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()


def node_of(node: Node, name: str) -> Node:
    """The object `name` of `node`, empty when it is not there."""
    value = node.get(name)
    return value if isinstance(value, dict) else {}


def texts(node: Node, name: str) -> tuple[str, ...]:
    """The texts in the array `name` of `node`."""
    value = node.get(name)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def name_of(canonical: str) -> str:
    """What a canonical or absolute url ends with: `Patient` of http://hl7.org/fhir/StructureDefinition/Patient|4.0.1."""
    return canonical.partition("|")[0].rpartition("/")[2]
