"""What a resource must be when it comes back: what it was, but for its identity."""

from __future__ import annotations

import re

import msgspec

from fhirstore.fhir import json

_STRINGS_AND_SPACES = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def assert_comes_back(body: bytes) -> None:
    """Byte for byte but for id, meta.versionId, meta.lastUpdated and the white space between tokens."""
    template = json.Template(*json.read(body, max_values=None))
    stored = _members(template.fill(id="new", version=7, last_updated=0))
    sent = _members(body)
    assert stored.pop("id") == b'"new"'
    meta = _members(stored.pop("meta"))
    assert (meta.pop("versionId"), meta.pop("lastUpdated")) == (b'"7"', b'"1970-01-01T00:00:00.000Z"')
    sent.pop("id", None)
    old = _members(sent.pop("meta", b"{}"))
    assert list(meta.items()) == [pair for pair in old.items() if pair[0] not in ("versionId", "lastUpdated")]
    assert list(stored.items()) == list(sent.items())


def _members(body: bytes) -> dict[str, bytes]:
    """The members of an object in their order, each as it is written but for white space."""
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return {name: _STRINGS_AND_SPACES.sub(rb"\1", bytes(value)) for name, value in members.items()}
