"""Pure checks of one record by itself, and of a record beside the one before it."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from fhirstore.errors import CorruptRecord
from fhirstore.fhir.json import instant
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.objects.base import StoredObject

Problem = tuple[str, str]
"""Kind and detail of a finding."""


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str = ""
    last_updated: str = ""


class _Identity(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    id: str = ""
    meta: _Meta = msgspec.field(default_factory=_Meta)


_decode_identity = msgspec.json.Decoder(_Identity).decode


def readable(reply: StoredObject, key: str) -> Record | None:
    """Returns the record in an object; None where it is none."""
    try:
        return decode(reply.body, key)
    except CorruptRecord:
        return None


def problems_of(record: Record, keys: ResourceKeys, version: int, *, rehash: bool) -> list[Problem]:
    """Returns what is wrong with the record of `version` by itself."""
    if record.version != version:
        return [("version-number", f"the record says {record.version}")]
    if rehash and not record.intact():
        return [("checksum", "")]
    return [] if record.resource is None else _content(record, record.resource, keys)


def _content(record: Record, resource: bytes, keys: ResourceKeys) -> list[Problem]:
    try:
        identity = _decode_identity(resource)
    except msgspec.MsgspecError:
        return [("identity", "the content is no FHIR resource")]
    problems: list[Problem] = []
    if (identity.resource_type, identity.id) != (keys.type, keys.id):
        problems.append(("identity", ""))
    if (identity.meta.version_id, identity.meta.last_updated) != (str(record.version), instant(record.t)):
        problems.append(("meta", ""))
    return problems


def problems_between(before: Record | None, record: Record, floor: int) -> list[Problem]:
    """Returns what is wrong between a record and the one before it; `before` None: that is unreadable or was purged."""
    if before is None:
        first = record.version == 1 and not floor
        return [("prior-broken", "a first version names a prior one")] if first and record.prior is not None else []
    problems: list[Problem] = []
    if record.t <= before.t:
        problems.append(("time-order", f"{record.t} after {before.t}"))
    if record.prior != before.op:
        problems.append(("prior-broken", ""))
    return problems


def same(current: Record, version: Record) -> bool:
    """Returns whether current.json and its version object agree. Only current.json has fences, holds and intents."""
    return unfenced(current) == unfenced(version)


def unfenced(record: Record) -> Record:
    """Returns the record as it was committed."""
    return replace(record, fence=None, hold=0, intent=None)
