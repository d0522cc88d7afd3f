"""Writes parsed values as bytes, with the id, version and time that the server assigns.

https://hl7.org/fhir/R4/http.html#create ("the server SHALL populate the id, meta.versionId and meta.lastUpdated")
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

import msgspec

from fhirstore.errors import InvalidResource
from fhirstore.fhir.json.values import JsonObject, type_name

_ENCODER = msgspec.json.Encoder()
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EPOCH = datetime(1970, 1, 1)  # naive, since it is only added to and written with a Z
_ITEMS = 1_000  # items of an array that one call of the encoder writes
_NO_META: JsonObject = {}
_ENDS = (b",", b"}")  # what follows a member


def encode(value: JsonObject) -> bytes:
    """Returns compact JSON (UTF-8) of what `parse` returned; the order of members and number literals are kept."""
    return _ENCODER.encode(value)


def encode_in_pieces(value: JsonObject) -> bytes:
    """Returns what `encode` returns, for a value that may be large.

    A call of the encoder blocks all other threads, so each member is written by a call of its own, and a long array by
    one call for every thousand items.
    """
    parts = [b"%s:%s" % (_ENCODER.encode(name), _encoded(item)) for name, item in value.items()]
    return b"{%s}" % b",".join(parts)


def _encoded(value: object) -> bytes:
    if isinstance(value, list) and len(value) > _ITEMS:
        runs = [_ENCODER.encode(value[start : start + _ITEMS])[1:-1] for start in range(0, len(value), _ITEMS)]
        return b"[%s]" % b",".join(runs)
    return _ENCODER.encode(value)


def with_identity(resource: JsonObject, *, id: str, version: int, last_updated: int) -> bytes:
    """Returns the resource as compact JSON with this id, `meta.versionId` and `meta.lastUpdated` (epoch ms)."""
    return Template(resource).fill(id=id, version=version, last_updated=last_updated)


class Template:
    """A resource as compact JSON in which the server sets `id`, `meta.versionId` and `meta.lastUpdated`.

    It keeps the bytes and not the parsed values, which take five times the memory while a write waits for the store
    (see docs/performance.md).
    """

    __slots__ = ("_head", "_members", "_meta", "_tail")

    def __init__(self, resource: JsonObject, compact: bytes | None = None) -> None:
        """`compact`: the bytes that `read` returned with the resource. Raises InvalidResource if `meta` is not an
        object.
        """
        compact = _ENCODER.encode(resource) if compact is None else compact
        meta = resource.get("meta", _NO_META)
        if not isinstance(meta, dict):
            raise InvalidResource(
                "meta is not an object", expression=(f"{type_name(resource)}.meta",), code="structure"
            )
        self._meta: JsonObject = meta
        self._members: JsonObject | None = None
        start = b'{"resourceType":' + _ENCODER.encode(resource.get("resourceType"))
        self._head = start + b',"id":'
        if "id" in resource:
            start = self._head + _ENCODER.encode(resource["id"])
        if "meta" in resource:
            start += b',"meta":' + _ENCODER.encode(meta)
        self._tail = compact[len(start) :]
        # Other members are in between, or `compact` has other escapes than the encoder writes.
        if not compact.startswith(start) or self._tail[:1] not in _ENDS:
            pieces = _MEMBERS.decode(compact)
            self._members = {**pieces}
            if "resourceType" in resource:
                self._members["resourceType"] = resource["resourceType"]
            if "meta" in resource:
                self._meta = {**_MEMBERS.decode(pieces["meta"])}

    @property
    def size(self) -> int:
        """The bytes of the resource without the members that the server sets and those before them."""
        return len(self._tail)

    def fill(self, *, id: str, version: int, last_updated: int) -> bytes:
        """Returns compact JSON with this id, `meta.versionId` and `meta.lastUpdated` (epoch ms).

        Existing members keep their position; a new `id` follows `resourceType`, a new `meta` follows `id`.
        """
        meta = _ENCODER.encode({**self._meta, "versionId": str(version), "lastUpdated": instant(last_updated)})
        if self._members is not None:
            return _placed(self._members, id, msgspec.Raw(meta))
        return b"".join((self._head, _ENCODER.encode(id), b',"meta":', meta, self._tail))


def _placed(members: JsonObject, id: str, meta: msgspec.Raw) -> bytes:
    if "id" in members and "meta" in members:
        return _ENCODER.encode({**members, "id": id, "meta": meta})
    placed: JsonObject = {}
    before = "id" if "id" in members else "resourceType"  # the new members follow this one
    if before not in members:
        placed = {"id": id} if "meta" in members else {"id": id, "meta": meta}
    for name in members:
        placed[name] = None
        if name == before:
            placed.setdefault("id")
            if "meta" not in members:
                placed["meta"] = None
            break
    return _ENCODER.encode({**placed, **members, "id": id, "meta": meta})


def instant(ms: int) -> str:
    """Returns epoch milliseconds as a FHIR instant in UTC: `2026-11-20T04:47:24.123Z`."""
    seconds, thousandths = divmod(ms, 1000)
    return f"{_seconds(seconds)}.{thousandths:03}Z"


@lru_cache(maxsize=64)  # many writes fall into the same second
def _seconds(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()
