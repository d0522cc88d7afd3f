"""Reads resources and Bundles out of JSON files, NDJSON files and folders, one after the other.

A resource is sent with the bytes of its file. Only the entries of a Bundle are encoded again; their numbers keep their
digits. An NDJSON file is read line by line; a JSON file is read whole, also if it is a Bundle.

https://hl7.org/fhir/R4/bundle.html · https://hl7.org/fhir/R4/nd-json.html
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fhirstore.errors import MalformedContent
from fhirstore.fhir.json import BYTE_ORDER_MARK, JsonObject, encode, parse

SUFFIXES = (".json", ".json.gz", ".ndjson", ".ndjson.gz")

BUNDLE_MODES = ("process", "entries", "whole")
"""How a Bundle that is a container is loaded. `process`: a batch or transaction is sent to be processed, the resources
of other containers one by one. `entries`: the resources of all one by one. `whole`: the Bundle is stored itself."""

PROCESSED = frozenset({"batch", "transaction"})

# Types of Bundles that are containers. A document or a message is always stored whole.
CONTAINERS = frozenset({"transaction", "batch", "collection", "searchset", "history"})

_TYPE_NAME = re.compile(r"[A-Za-z]{1,64}")


class CannotLoad(Exception):
    """A load cannot start: no such file, a bad URL, no server. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource to send. `source`: file and line; `id`: None where the server assigns one."""

    source: str
    type: str
    id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One entry of a Bundle to send: its method and the type of its resource."""

    method: str
    type: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A batch or transaction to send, as it is in its file."""

    source: str
    requests: tuple[Request, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file or line that is not a resource and should be. `code`: the FHIR issue code of `diagnostics`."""

    source: str
    code: str
    diagnostics: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """JSON that is not a resource and need not be: another JSON file of a folder, an entry without resource."""

    source: str


Found: TypeAlias = Resource | Bundle | Unreadable | Skipped


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to read. `named`: the user named the file itself, not a folder above it. `size` in bytes."""

    path: Path
    size: int
    named: bool


def find_files(paths: Sequence[Path]) -> list[SourceFile]:
    """Returns the files at and below `paths`, sorted within a folder. Raises CannotLoad where a path has none."""
    files: list[SourceFile] = []
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.name.endswith(SUFFIXES) and p.is_file())
            # A hidden file or folder belongs to a tool: .git, .index.json of an npm package.
            visible = [p for p in below if not any(part.startswith(".") for part in p.relative_to(path).parts)]
            if not visible:
                raise CannotLoad(f"{path}: holds no file that ends in {', '.join(SUFFIXES)}")
            files += [SourceFile(p, p.stat().st_size, named=False) for p in visible]
        elif not path.exists():
            raise CannotLoad(f"{path}: no such file or folder")
        elif path.name.endswith(SUFFIXES):
            files.append(SourceFile(path, path.stat().st_size, named=True))
        else:
            raise CannotLoad(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    return files


class Reader:
    """Iterates over the resources in the files. `position` of `total` bytes (as stored, compressed) are read."""

    def __init__(self, files: Sequence[SourceFile], *, bundles: str = "entries") -> None:
        self.total = sum(file.size for file in files)
        self.position = 0
        self._files = files
        self._bundles = bundles

    def __iter__(self) -> Iterator[Found]:
        start = 0
        for file in self._files:
            try:
                with file.path.open("rb") as stored:
                    for source, body in _bodies(file.path, stored):
                        self.position = start + stored.tell()
                        yield from self._found(source, body, skip_others=not file.named)
            except (OSError, EOFError, zlib.error) as error:
                reason = error.strerror if isinstance(error, OSError) and error.strerror else "damaged or cut off"
                yield Unreadable(str(file.path), "exception", f"Cannot read the file: {reason}")
            start += file.size
            self.position = start

    def _found(self, source: str, body: bytes, *, skip_others: bool) -> Iterator[Found]:
        try:
            value = parse(body)
        except MalformedContent as error:
            yield Unreadable(source, error.issues[0].code, error.issues[0].diagnostics)
            return
        if "resourceType" not in value and skip_others:
            yield Skipped(source)
        elif value.get("resourceType") != "Bundle" or self._bundles == "whole" or value.get("type") not in CONTAINERS:
            yield _resource(source, value, body)
        elif self._bundles == "process" and value.get("type") in PROCESSED:
            yield _bundle(source, value, body)
        else:
            yield from _entries(source, value)


def _bodies(path: Path, stored: io.BufferedReader) -> Iterator[tuple[str, bytes]]:
    """Yields the bodies in `stored` (the lines of NDJSON, or the whole), each with its source."""
    compressed = path.name.endswith(".gz")
    plain = io.BufferedReader(gzip.GzipFile(fileobj=stored)) if compressed else stored
    if not path.name.removesuffix(".gz").endswith(".ndjson"):
        yield str(path), plain.read().removeprefix(BYTE_ORDER_MARK)
        return
    for number, line in enumerate(plain, 1):
        body = line.removeprefix(BYTE_ORDER_MARK).strip()  # files that were joined have one in between, too
        if body:
            yield f"{path}:{number}", body


def _bundle(source: str, bundle: JsonObject, body: bytes) -> Bundle | Unreadable:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        return Unreadable(source, "structure", "Bundle.entry is not an array")
    return Bundle(source, tuple([_request(entry) for entry in entries]), body)


def _request(entry: object) -> Request:
    """Returns method and type of an entry; the server reports what is wrong with it."""
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict):
        return Request("", "")
    resource = entry.get("resource") if isinstance(entry, dict) else None
    name = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(name, str):
        found = _TYPE_NAME.match(str(request.get("url", "")))
        name = found[0] if found else ""
    return Request(str(request.get("method", "")), name)


def _entries(source: str, bundle: JsonObject) -> Iterator[Found]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        yield Unreadable(source, "structure", "Bundle.entry is not an array")
        return
    numbered = list(enumerate(entries))
    if bundle["type"] == "history":
        numbered.reverse()  # newest first in the Bundle, so that versions of one resource are sent in their order
    for index, entry in numbered:
        where = f"{source} entry[{index}]"
        if not isinstance(entry, dict):
            yield Unreadable(where, "structure", "The entry is not an object")
        elif "resource" not in entry or _is_outcome(entry):
            yield Skipped(where)
        elif isinstance(entry["resource"], dict):
            yield _resource(where, entry["resource"], encode(entry["resource"]))
        else:
            yield Unreadable(where, "structure", "The entry's resource is not an object")


def _is_outcome(entry: JsonObject) -> bool:
    search = entry.get("search")
    return isinstance(search, dict) and search.get("mode") == "outcome"


def _resource(source: str, value: JsonObject, body: bytes) -> Resource | Unreadable:
    type_name, id_ = value.get("resourceType"), value.get("id")
    if not isinstance(type_name, str) or not _TYPE_NAME.fullmatch(type_name):
        return Unreadable(source, "required", "resourceType is missing or not a name")
    # Whether an id is good the server shall say, but these two would name another URL.
    if id_ is not None and (not isinstance(id_, str) or id_ in {"", ".", ".."}):
        return Unreadable(source, "value", "The id is not an id")
    return Resource(source, type_name, id_, body)
