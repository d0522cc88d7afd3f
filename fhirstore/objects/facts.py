"""What an object carries beside its body: content type, metadata and tags, within what every store accepts.

The limits are those of S3, so that what one store takes the others take too:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec

from fhirstore.errors import RequestRefused

UNTYPED = "application/octet-stream"
"""The content type of an object that was written without one. Some S3 servers take one from the key's ending."""

_METADATA_BYTES = 2048  # of all names and values together
_TAGS = 10
_TYPE = re.compile(r"[!-~]+/[ -~]*[!-~]")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")  # in any case S3 makes it lower case
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")  # S3 drops spaces at the ends
_TAG = re.compile(r"[\w +\-=.:/@]*", re.ASCII)

Progress: TypeAlias = Callable[[int], None]
"""Told the bytes of a body that are done so far; called between parts, in the caller's event loop."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an object carries beside its body. It is written with the body, and goes with it.

    `metadata`: printable ASCII, names in lower case, 2 KB in all. `tags`: 10 at most.
    """

    content_type: str | None = None
    metadata: Mapping[str, str] = {}
    tags: Mapping[str, str] = {}

    def check(self, key: str) -> None:
        """Raises RequestRefused, naming the member, where a store would not accept them. `key`: for the message."""
        if self.content_type is not None and not _has(_TYPE, self.content_type, 255):
            raise RequestRefused(key, "content_type is not of the form type/subtype in printable ASCII")
        for name, value in self.metadata.items():
            if not _has(_NAME, name):
                raise RequestRefused(key, f"metadata name {_shown(name)}: use a-z, 0-9, `_`, `.` and `-`")
            if not _has(_VALUE, value):
                raise RequestRefused(key, f"metadata {_shown(name)}: its value is empty or not printable ASCII text")
        size = sum(len(name) + len(value) for name, value in self.metadata.items())
        if size > _METADATA_BYTES:
            raise RequestRefused(key, f"metadata has {size} bytes, more than the {_METADATA_BYTES} a store keeps")
        check_tags(key, self.tags)


def check_tags(key: str, tags: Mapping[str, str]) -> None:
    """Raises RequestRefused where a store would not accept the tags."""
    if len(tags) > _TAGS:
        raise RequestRefused(key, f"{len(tags)} tags, more than the {_TAGS} a store keeps")
    for name, value in tags.items():
        if not (name and _has(_TAG, name, 128) and _has(_TAG, value, 256)):
            raise RequestRefused(
                key, f"tag {_shown(name)}: use text of 1-128 (value: 0-256) letters, digits, ` +-=._:/@`"
            )


def _has(form: re.Pattern[str], text: object, longest: int | None = None) -> bool:
    """Returns whether it is text of this form, and of `longest` characters at most."""
    return isinstance(text, str) and (longest is None or len(text) <= longest) and form.fullmatch(text) is not None


def _shown(name: object) -> str:
    return repr(name)[:130]


class ObjectInfo(msgspec.Struct, frozen=True):
    """What `stat` tells of an object. `size`: bytes; `modified`: epoch ms, on some stores in whole seconds.

    Tags are not in it, because they cost S3 another request.
    """

    key: str
    size: int
    etag: str
    modified: int
    content_type: str
    metadata: Mapping[str, str]


NO_FACTS = Facts()


class Steps:
    """Tells a progress callback of each full part, and of the end."""

    def __init__(self, progress: Progress | None, part_size: int) -> None:
        self._progress = progress
        self._part_size = part_size
        self._done = self._told = 0

    def add(self, size: int) -> None:
        """That many bytes more are done."""
        self._done += size
        if self._progress is not None and self._done - self._told >= self._part_size:
            self._told = self._done
            self._progress(self._done)

    def reach(self, size: int) -> None:
        """So many bytes are done by now."""
        self.add(size - self._done)

    def finish(self) -> None:
        """All bytes are done."""
        if self._progress is not None and self._told < self._done:
            self._progress(self._done)
