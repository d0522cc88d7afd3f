"""A bill of materials in CycloneDX JSON, computed from a lock file: every package, its version and its hashes.

https://cyclonedx.org/docs/1.6/json/. Nothing is looked up, and the same lock file gives the same bill.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements.lock"

_PACKAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)==(?P<version>[^\s;]+)(?: ?; (?P<marker>.+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


class NoLock(Exception):
    """A line of the file pins nothing."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A package of a lock file. `marker`: where it is needed; "" everywhere. `hashes`: SHA-256 of each of its files."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def purl(self) -> str:
        """Its package URL: https://github.com/package-url/purl-spec."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[Pinned]:
    """Returns the packages of a lock file. Raises NoLock for a line that is none, or a package without a hash."""
    packages = []
    for line in text.replace("\\\n", " ").splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _PACKAGE.fullmatch(stripped.partition(" --hash")[0].strip())
        hashes = tuple(sorted(_HASH.findall(stripped)))
        if found is None or not hashes:
            raise NoLock(stripped[:100])
        packages.append(Pinned(found["name"], found["version"], found["marker"] or "", hashes))
    return packages


def bill_of(packages: Iterable[Pinned], *, project: str) -> dict[str, object]:
    """Returns the bill. `project`: the text of pyproject.toml, which names what is needed directly."""
    about = tomllib.loads(project)["project"]
    packages = sorted(packages, key=lambda one: (one.name, one.version))
    root = f"pkg:pypi/{about['name']}@{about['version']}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_serial(packages)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": about["name"],
                "version": about["version"],
                "purl": root,
            }
        },
        "components": [_component(one) for one in packages],
        "dependencies": [{"ref": root, "dependsOn": _direct(packages, about["dependencies"])}],
    }


def _component(one: Pinned) -> dict[str, object]:
    component: dict[str, object] = {
        "type": "library",
        "bom-ref": one.purl,
        "name": one.name,
        "version": one.version,
        "purl": one.purl,
        "hashes": [{"alg": "SHA-256", "content": content} for content in one.hashes],
    }
    if one.marker:
        component["properties"] = [{"name": "fhirstore:marker", "value": one.marker}]
    return component


def _direct(packages: Sequence[Pinned], wanted: Iterable[str]) -> list[str]:
    names = {found[0].lower().replace("_", "-").replace(".", "-") for one in wanted if (found := _NAME.match(one))}
    return [one.purl for one in packages if one.name in names]


def _serial(packages: Sequence[Pinned]) -> uuid.UUID:
    content = "\n".join(f"{one.purl} {one.marker} {' '.join(one.hashes)}" for one in packages)
    return uuid.UUID(bytes=hashlib.sha256(content.encode()).digest()[:16], version=4)
