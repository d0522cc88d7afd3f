"""Moves the content of a Binary out of its record where it is large, whichever interaction writes it.

A Binary whose `data` has more than `Limits.inline_bytes` bytes, decoded, is written with a marker instead, and its
content is stored first (`placing`). Nothing is referred to until the commit, so a write that fails leaves a content
that the sweeper removes. `data` that is not base64 stays where it is.
"""

from __future__ import annotations

import base64
import binascii

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.placing import place
from fhirstore.errors import RequestRefused
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.format.digest import sha256
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.format.marker import with_marker
from fhirstore.format.payload import Payload
from fhirstore.objects.facts import Facts

_DATA = b'"data"'


class MovedOut:
    """A Binary without its content, which is `payload`."""

    __slots__ = ("_id", "_template", "payload")

    def __init__(self, keys: ResourceKeys, binary: JsonObject, payload: Payload) -> None:
        self._template = json.Template(with_marker(binary, payload.sha256, payload.size))
        self._id = keys.id
        self.payload = payload

    def build(self, version: int, t: int) -> bytes:
        """Returns the resource's bytes."""
        return self._template.fill(id=self._id, version=version, last_updated=t)


def moved_out(
    keys: ResourceKeys, resource: bytes, placed: dict[str, Payload], *, context: Context
) -> Protocol[MovedOut | None]:
    """Stores the content of this Binary outside, if it is large. None: it stays in the record.

    `placed`: the payloads that this write has stored already, by hash. Raises Contention, Unavailable, StoreFull.
    """
    if len(resource) <= context.limits.inline_bytes or _DATA not in resource:
        return None
    binary = json.parse(resource, max_values=None)
    content = content_of(binary)
    if content is None or len(content) <= context.limits.inline_bytes:
        return None
    digest = sha256(content)
    if digest not in placed:
        facts = facts_for(binary.get("contentType"), context)
        placed[digest] = yield from place(Keyspace(keys.prefix), content, facts, context=context)
    return MovedOut(keys, binary, placed[digest])


def content_of(binary: JsonObject) -> bytes | None:
    """Returns the decoded `data` of a Binary; None without one, or where it is not base64."""
    data = binary.get("data")
    if not isinstance(data, str):
        return None
    try:
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


def facts_for(content_type: object, context: Context) -> Facts | None:
    """Returns the facts of a payload object. A content type that no store accepts is left out."""
    kept = content_type if isinstance(content_type, str) else None
    try:
        Facts(content_type=kept).check("")
    except RequestRefused:
        kept = None
    if context.facts is not None:
        return context.facts(kept)
    return None if kept is None else Facts(content_type=kept)
