"""Walks the folders of all resources of a tenant, with one page of keys and one resource in memory."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.messages import List, Protocol
from fhirstore.commit.purge import version_of
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.objects.base import Listed
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage


@dataclass(slots=True)
class Folder:
    """The objects of one resource: number of versions, lowest and highest number (0: none), largest size in bytes."""

    keys: ResourceKeys
    has_current: bool = False
    versions: int = 0
    lowest: int = 0
    highest: int = 0
    largest: int = 1

    @property
    def contiguous(self) -> bool:
        """Whether there is a version, and none is missing between the lowest and the highest."""
        return 0 < self.versions == self.highest - self.lowest + 1

    def add(self, item: Listed, version: int) -> None:
        """Count an object; `version` 0 is current.json."""
        self.largest = max(self.largest, item.size)
        if version == 0:
            self.has_current = True
            return
        self.versions += 1
        self.highest = max(self.highest, version)
        self.lowest = version if self.lowest == 0 else min(self.lowest, version)


class FolderWalk:
    """Walks the folders below `prefix` (of all resources, or of one). `strays`: keys that fhirstore did not write.
    `lost`: the prefix, for each part of the listing that is damaged."""

    def __init__(self, keys: Keyspace, prefix: str, *, page: int = 1000) -> None:
        self.strays: list[str] = []
        self.lost: list[str] = []
        self._keys = keys
        self._prefix = prefix
        self._page = page
        self._cursor: str | None = None
        self._open: Folder | None = None
        self._over = False

    def next_folders(self) -> Protocol[list[Folder] | None]:
        """Returns the folders that the next page completes, or None at the end. 1 LIST. Raises Unavailable."""
        if self._over:
            return None
        page = yield from listed_behind_damage(List(self._prefix, cursor=self._cursor, limit=self._page), self.lost)
        done: list[Folder] = []
        for item in page.objects:
            parsed = self._parse(item.key)
            if parsed is None:
                self.strays.append(item.key)
                continue
            keys, version = parsed
            if self._open is None or self._open.keys != keys:
                if self._open is not None:
                    done.append(self._open)
                self._open = Folder(keys)
            self._open.add(item, version)
        self._cursor = page.cursor
        if page.cursor is None:
            self._over = True
            if self._open is not None:
                done.append(self._open)
        return done

    def _parse(self, key: str) -> tuple[ResourceKeys, int] | None:
        """Returns resource and version of a key (0: current.json); None if it is not exactly what the keyspace
        builds."""
        parts = key.removeprefix(self._keys.resources()).split("/")
        if len(parts) < 3:
            return None
        try:
            keys = self._keys.resource(parts[0], parts[1])
        except InvalidResource:
            return None
        version = 0 if key == keys.current else version_of(keys, key)
        return None if version is None else (keys, version)


def survey(keys: Keyspace, resource: ResourceKeys) -> Protocol[Folder]:
    """Returns the folder of one resource as it is now. 1 LIST per 1,000 versions. Raises Unavailable."""
    walk = FolderWalk(keys, keys.resources(resource.type, resource.id))
    folder = Folder(resource)
    while (found := (yield from walk.next_folders())) is not None:
        folder = next(iter(found), folder)
    return folder
