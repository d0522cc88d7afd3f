"""`fhirstore ls`, `cat` and `presign`: the objects of a store, by key or by FHIR reference."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import msgspec

from fhirstore import FhirStore, Version, instant
from fhirstore.errors import FhirStoreError, Gone, NotFound, ObjectNotFound
from server.commands.addresses import BadAddress, Reference, Root, is_own, parse_path, root_of
from server.commands.each_tenant import FAILED
from server.process.deployment import open_store
from server.settings import Settings

NOT_THERE = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of `ls`. `modified` (epoch ms) None: it is a folder. `key`: below the root."""

    name: str
    key: str | None = None
    size: int = 0
    modified: int | None = None
    etag: str = ""

    def as_json(self) -> dict[str, object]:
        if self.modified is None:
            return {"name": self.name, "folder": True}
        known = {"key": self.key, "size": self.size, "modified": instant(self.modified), "etag": self.etag}
        return {"name": self.name, "folder": False, **known}

    def __str__(self) -> str:
        modified = "" if self.modified is None else instant(self.modified)
        return f"{'' if self.modified is None else f'{self.size:,}':>15}  {modified:24}  {self.name}"


def list_objects(
    settings: Settings, path: str, *, tenant: str | None, recursive: bool, limit: int | None, as_json: bool
) -> int:
    """Prints what there is, as it is listed; with `as_json` an object a line. Returns 0; 1: nothing is there; 2."""

    async def work(store: FhirStore) -> int:
        asked = parse_path(path)
        root = await root_of(store, tenant, of_tenant=isinstance(asked, Reference))
        rows = _references(root, asked) if isinstance(asked, Reference) else _keys(root, asked, recursive=recursive)
        shown = 0
        async for row in rows:
            if limit is not None and shown == limit:
                sys.stderr.write(f"fhirstore: there are more than {limit:,}\n")
                break
            shown += 1
            sys.stdout.write((msgspec.json.encode(row.as_json()).decode() if as_json else str(row)) + "\n")
        if shown or not path:
            return 0
        sys.stderr.write("fhirstore: nothing is there\n")
        return NOT_THERE

    return _run(settings, work)


def print_object(settings: Settings, path: str, *, tenant: str | None, as_json: bool) -> int:
    """Prints a resource or the bytes of an object; `as_json`: what is known of it. Returns 0; 1: it is not there; 2."""

    async def work(store: FhirStore) -> int:
        asked = parse_path(path)
        root = await root_of(store, tenant, of_tenant=isinstance(asked, Reference))
        if isinstance(asked, Reference):
            await _print_resource(store, root, asked, as_json=as_json)
        elif as_json:
            info = await root.objects.stat(root.prefix + asked)
            facts = {"size": info.size, "modified": instant(info.modified), "etag": info.etag}
            _print_json({"key": asked, **facts, "contentType": info.content_type, "metadata": dict(info.metadata)})
        else:
            async with root.objects.get_stream(root.prefix + asked) as stream:
                async for chunk in stream:
                    sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        return 0

    return _run(settings, work)


def presign(
    settings: Settings,
    path: str,
    *,
    tenant: str | None,
    put: bool,
    content_type: str | None,
    expires: int,
    as_json: bool,
) -> int:
    """Prints a URL that is good for `expires` seconds, for whoever has it. Returns 0; 1: nothing is there; 2.

    `put`: to write the object, which must not be one of fhirstore's own.
    """

    async def work(store: FhirStore) -> int:
        asked = parse_path(path)
        root = await root_of(store, tenant, of_tenant=isinstance(asked, Reference))
        if put:
            if isinstance(asked, Reference) or is_own(root, asked):
                raise BadAddress(f"{path} is written by fhirstore alone; --put is for other keys")
            request = await root.objects.presign_put(root.prefix + asked, expires_in=expires, content_type=content_type)
            method, url, headers = "PUT", request.url, dict(request.headers)
        else:
            key = await _file_of(store, root, asked) if isinstance(asked, Reference) else root.prefix + asked
            await root.objects.stat(key)
            method, headers = "GET", {}
            url = await root.objects.presign_get(key, expires_in=expires, content_type=content_type)
        if as_json:
            _print_json({"method": method, "url": url, "headers": headers, "expiresIn": expires})
        else:
            sys.stdout.write(f"{url}\n")
            sys.stderr.writelines(f"fhirstore: send the header {name}: {value}\n" for name, value in headers.items())
        return 0

    return _run(settings, work)


async def _keys(root: Root, prefix: str, *, recursive: bool) -> AsyncIterator[Row]:
    """Yields the folders and objects whose keys begin with `prefix`; `recursive`: all objects, and no folders."""
    cut = len(root.prefix)
    cursor: str | None = None
    while True:
        page = await root.objects.list(root.prefix + prefix, cursor=cursor, delimiter=not recursive)
        for folder in page.prefixes:
            yield Row(folder[cut:])
        for one in page.objects:
            yield Row(one.key[cut:], one.key[cut:], one.size, one.modified, one.etag)
        cursor = page.cursor
        if cursor is None:
            return


async def _references(root: Root, asked: Reference) -> AsyncIterator[Row]:
    """Yields the resources of a type, or the versions of a resource, the current one among them."""
    if asked.id is None:
        below = f"resources/{asked.type}/"
        async for row in _keys(root, below, recursive=False):
            yield Row(f"{asked.type}/{row.name.removeprefix(below).rstrip('/')}")
        return
    folder = f"resources/{asked.type}/{asked.id}/"
    async for row in _keys(root, folder, recursive=True):
        name = row.name.removeprefix(folder).removesuffix(".json")
        version = name.removeprefix("_history/")
        if asked.version is None or version == str(asked.version):
            reference = f"{asked.type}/{asked.id}" + ("" if name == "current" else f"/{name}")
            yield Row(reference, row.key, row.size, row.modified, row.etag)


async def _print_resource(store: FhirStore, root: Root, asked: Reference, *, as_json: bool) -> None:
    version = await _read(store, root, asked)
    if as_json:
        _print_json(
            {
                "reference": f"{version.type}/{version.id}",
                "versionId": version.version_id,
                "lastUpdated": instant(version.last_updated_ms),
                "size": len(version.content),
                "payload": version.payload,
            }
        )
        return
    sys.stdout.buffer.write(version.content + b"\n")
    sys.stdout.buffer.flush()


async def _file_of(store: FhirStore, root: Root, asked: Reference) -> str:
    """Returns the key of the object that has the content of a Binary. Raises BadAddress where there is none."""
    if asked.type != "Binary" or asked.id is None:
        raise BadAddress(f"{asked} is a record of fhirstore, and no file; write a key, or read it from a server")
    payload = (await _read(store, root, asked)).payload
    if payload is None:
        raise BadAddress(f"{asked} has its content in its record, and no file; read it from a server")
    return root.prefix + payload.object


async def _read(store: FhirStore, root: Root, asked: Reference) -> Version:
    """Returns the version that a reference names. Raises BadAddress for a type, and as `read` and `vread`."""
    if asked.id is None:
        raise BadAddress(f"{asked} is a type; write {asked}/id, or list it by ls")
    clinic = store.tenant(root.tenant or "")
    if asked.version is None:
        return await clinic.read(asked.type, asked.id)
    return await clinic.vread(asked.type, asked.id, asked.version)


def _run(settings: Settings, work: Callable[[FhirStore], Awaitable[int]]) -> int:
    """Does the work on the open store. A reader of the output that goes away ends it quietly."""

    async def go() -> int:
        async with open_store(settings) as store:
            await store.check()
            return await work(store)

    try:
        code = asyncio.run(go())
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ObjectNotFound, NotFound, Gone) as error:
        sys.stderr.write(f"fhirstore: {'nothing is there' if isinstance(error, ObjectNotFound) else error}\n")
        return NOT_THERE
    except (FhirStoreError, BadAddress) as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED


def _print_json(value: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")
