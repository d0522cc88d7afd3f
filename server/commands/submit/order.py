"""What is to be submitted: files of this machine, and URLs of manifests and of NDJSON files.

A name that ends in .ndjson or .ndjson.gz is a file of resources, and a manifest is made for all of these; any other
URL, and a local .json file, is a manifest itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

NDJSON = (".ndjson", ".ndjson.gz")
MODES = ("replace", "merge-patch", "create-only", "skip-unchanged")
_SCHEMES = ("http://", "https://", "s3://")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}(?=[.-])")
_PAGE = 5_000  # files
_MANIFEST = 16 << 20  # bytes


class CannotSubmit(Exception):
    """The submission cannot start; nothing was submitted. The message says what to do."""


class _Manifest(msgspec.Struct):
    output: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class Listed:
    """A file for the manifest that is made. `path`: None for one that is known by its URL. `deleted`: of deletions."""

    url: str
    path: Path | None = None
    size: int = 0
    deleted: bool = False

    @property
    def type(self) -> str | None:
        """The type of its resources, as the name says: Patient.ndjson, Patient.001.ndjson."""
        match = _TYPE.match(urlsplit(self.url).path.rpartition("/")[2])
        return match[0] if match and not self.deleted else None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One submission. Two commands with equal orders mean the same one.

    `names`: paths and URLs as they were given, the paths absolute. `mode`, `ids`: None for the default. `base`: the
    FHIR base URL of the source. `hosts`: more hosts that manifests may name. `private`: hosts may be on a private
    network.
    """

    names: tuple[str, ...]
    mode: str | None = None
    ids: str | None = None
    base: str | None = None
    submitter: str | None = None
    submission: str | None = None
    tenant: str | None = None
    hosts: tuple[str, ...] = ()
    private: bool = False

    @property
    def letters(self) -> str:
        """A name for the order: 14 letters, for 65 bits of its hash."""
        digest = int.from_bytes(hashlib.sha256(msgspec.json.encode(self)).digest())
        return "".join(chr(97 + digest // 26**place % 26) for place in range(14))

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if is_url(name))

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(Path(name) for name in self.names if not is_url(name))


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an order names, looked up. `listed`: for the manifest that is made. `manifests`: URLs of others."""

    listed: tuple[Listed, ...]
    manifests: tuple[str, ...]

    @property
    def local(self) -> tuple[Listed, ...]:
        """The files of this machine."""
        return tuple(one for one in self.listed if one.path is not None)


def is_url(name: str) -> bool:
    """Whether it is a URL, and not a path of this machine."""
    return name.startswith(_SCHEMES)


def order_of(names: Sequence[str], **more: object) -> Order:
    """Returns the order. Raises CannotSubmit for a value that cannot be meant."""
    absolute = tuple(name if is_url(name) else str(Path(name).absolute()) for name in names)
    try:
        order = msgspec.convert({"names": absolute, **more}, Order)
    except msgspec.ValidationError as error:
        raise CannotSubmit(str(error)) from error
    if order.mode not in (None, *MODES):
        raise CannotSubmit(f"--mode: one of {', '.join(MODES)}")
    if order.ids not in (None, "keep", "remap"):
        raise CannotSubmit("--ids: keep or remap")
    if order.submitter is not None and not order.submitter.partition("|")[2]:
        raise CannotSubmit("--submitter: an identifier, as system|value")
    for url in order.urls:
        if not urlsplit(url).hostname or urlsplit(url).username is not None:
            raise CannotSubmit("a URL needs a host, and must not hold a user or a password")
    return order


def look_up(order: Order) -> Inputs:
    """Finds the files, sorted within a folder. Raises CannotSubmit where a path names none."""
    listed: list[Listed] = []
    manifests: list[str] = []
    for name in order.names:
        if is_url(name):
            if urlsplit(name).path.endswith(NDJSON):
                listed.append(Listed(name))
            else:
                manifests.append(name)
            continue
        path = Path(name)
        try:
            if path.is_dir():
                listed += _below(path)
            elif not path.is_file():
                raise CannotSubmit(f"{path}: no such file or folder")
            elif path.name.endswith(NDJSON):
                listed.append(Listed(path.as_uri(), path, path.stat().st_size))
            elif path.name.endswith(".json"):
                _check_manifest(path)
                manifests.append(path.as_uri())
            else:
                raise CannotSubmit(f"{path}: the name must end in one of {', '.join(NDJSON)}; .json for a manifest")
        except OSError as error:
            raise CannotSubmit(f"{path}: {error.strerror or error}") from error
    unique = tuple(dict.fromkeys(listed))
    # Deletions are read last, as manifests have them.
    return Inputs(tuple(sorted(unique, key=lambda one: one.deleted)), tuple(dict.fromkeys(manifests)))


def made_manifests(listed: Sequence[Listed], urls: Sequence[str], pages: Sequence[str]) -> dict[str, bytes]:
    """Returns the pages, by their URLs `pages`, of a manifest of these files, which can be read at `urls`."""
    made: dict[str, bytes] = {}
    for number, page in enumerate(pages):
        some = list(zip(listed, urls, strict=True))[number * _PAGE : (number + 1) * _PAGE]
        manifest: dict[str, object] = {
            "transactionTime": "1970-01-01T00:00:00Z",
            "requiresAccessToken": False,
            "outputFormat": "application/fhir+ndjson",
            "output": [_item(one, url) for one, url in some if not one.deleted],
            "deleted": [_item(one, url) for one, url in some if one.deleted],
            "error": [],
        }
        if number + 1 < len(pages):
            manifest["link"] = [{"relation": "next", "url": pages[number + 1]}]
        made[page] = msgspec.json.encode(manifest)
    return made


def pages_of(listed: Sequence[Listed]) -> range:
    """Returns the numbers of the pages that the manifest of these files has, from 1."""
    return range(1, (len(listed) + _PAGE - 1) // _PAGE + 1)


def base_of(order: Order) -> str:
    """Returns the FHIR base URL of the source; where none is given, the folder of the first name."""
    if order.base is not None:
        return order.base
    name = order.names[0]
    if is_url(name):
        return name.partition("?")[0].rpartition("/")[0]
    path = Path(name)
    return (path if path.is_dir() else path.parent).as_uri()


def is_private(host: str) -> bool:
    """Whether a host is on this machine or on a private network, as its text says."""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost"


def _below(folder: Path) -> Iterator[Listed]:
    """The files below a folder, without hidden ones, and without error/, where an export keeps messages."""
    found = 0
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or parts[0] == "error" or not path.name.endswith(NDJSON) or not path.is_file():
            continue
        found += 1
        yield Listed(path.as_uri(), path, path.stat().st_size, deleted=len(parts) > 1 and parts[0] == "deleted")
    if not found:
        raise CannotSubmit(f"{folder}: holds no file that ends in {', '.join(NDJSON)}")


def _check_manifest(path: Path) -> None:
    """Raises CannotSubmit where a file is no manifest, which would be taken for an empty one."""
    if path.stat().st_size > _MANIFEST:
        raise CannotSubmit(f"{path}: longer than {_MANIFEST >> 20} MB, so no manifest")
    try:
        msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        told = "not a Bulk Data manifest; fhirstore load sends JSON files of resources"
        raise CannotSubmit(f"{path}: {told}") from error


def _item(one: Listed, url: str) -> dict[str, object]:
    return {"type": one.type, "url": url} if one.type else {"url": url}
