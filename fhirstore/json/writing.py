"""From parsed values to bytes, with the server's identity in them.

https://hl7.org/fhir/R4/http.html#create ("the server SHALL populate the id, meta.versionId and meta.lastUpdated")
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from fhirstore.errors import InvalidResource
from fhirstore.json.values import JsonObject, type_name

_ENCODER = msgspec.json.Encoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EPOCH = datetime(1970, 1, 1)  # naive: only added to, and printed with a Z
_NO_META: JsonObject = {}


def encode(value: JsonObject) -> bytes:
    """Compact JSON of what `parse` gave: UTF-8, order of members and number literals kept."""
    return _ENCODER.encode(value)


def as_written(resource: JsonObject, body: bytes) -> JsonObject:
    """What `with_identity` makes the bytes of, so that characters come back as they were written in `body`.

    `resource` is what `parse` made of it, and is returned as it is unless `body` has escapes that a string does not
    remember (`\\u00e9`, `\\/`). Then the members' values are pieces of `body`, but for type, id and meta.
    """
    if b"\\" not in body or (b"\\u" not in body and b"\\/" not in body):
        return resource
    pieces = _MEMBERS.decode(msgspec.json.format(body, indent=-1))
    written: JsonObject = {**pieces}
    for name in ("resourceType", "id", "meta"):
        if name in resource:
            value = resource[name]
            written[name] = {**_MEMBERS.decode(pieces[name])} if isinstance(value, dict) else value
    return written


def with_identity(resource: JsonObject, *, id: str, version: int, last_updated: int) -> bytes:
    """Compact JSON of `resource` with `id`, `meta.versionId` and `meta.lastUpdated` (epoch ms) set.

    Members that are there keep their place; a new `id` follows `resourceType`, a new `meta` follows `id`.
    InvalidResource when `meta` is there and not an object. `resource` stays as it is.
    """
    old_meta = resource.get("meta", _NO_META)
    if not isinstance(old_meta, dict):
        raise InvalidResource("meta is not an object", expression=(f"{type_name(resource)}.meta",), code="structure")
    meta = {**old_meta, "versionId": str(version), "lastUpdated": instant(last_updated)}
    if "id" in resource and "meta" in resource:
        return _ENCODER.encode({**resource, "id": id, "meta": meta})
    placed: JsonObject = {}
    before = "id" if "id" in resource else "resourceType"  # what the new members follow
    if before not in resource:
        placed = {"id": id} if "meta" in resource else {"id": id, "meta": meta}
    for name in resource:
        placed[name] = None
        if name == before:
            placed.setdefault("id")
            if "meta" not in resource:
                placed["meta"] = None
            break
    return _ENCODER.encode({**placed, **resource, "id": id, "meta": meta})


def instant(ms: int) -> str:
    """Epoch milliseconds as a FHIR instant in UTC: `2026-11-20T04:47:24.123Z`."""
    seconds, thousandths = divmod(ms, 1000)
    return f"{_seconds(seconds)}.{thousandths:03}Z"


@lru_cache(maxsize=64)  # many writes share a second
def _seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()
