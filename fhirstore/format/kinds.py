"""Says what lies at a key, without reading it: its kind, and the resource type that it belongs to."""

from __future__ import annotations

import re

import msgspec

from fhirstore.format.keyspace import RECEIPT

KINDS = (
    "current",
    "versions",
    "events",
    "identity",
    "transactions",
    "receipts",
    "payloads",
    "payload records",
    "uploads",
    "exports",
    "submissions",
    "jobs",
    "queue",
    "runs",
    "audit",
    "audit trail",
    "access",
    "sweep",
    "search index",
    "other",
)
"""Every kind, in the order in which it is told. `other`: not a key of the format."""

_FOLDERS = {
    "tx": "transactions",
    "runs": "runs",
    "audit": "audit",
    "auditlog": "audit trail",
    "access": "access",
    "sweep": "sweep",
    "index": "search index",
}
_JOBS = {"export": "exports", "submit": "submissions", "queue": "queue"}
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_SYSTEM_EVENT = 3  # parts of `{t}_{type}_{rest}`


class Kept(msgspec.Struct, frozen=True):
    """What lies at a key. `kind`: one of `KINDS`. `type`: a word that looks like a resource type; None: of no type."""

    kind: str
    type: str | None = None


_OTHER = Kept("other")


def kept_at(key: str) -> Kept:
    """Returns what lies at a key below a tenant's prefix."""
    parts = key.split("/")
    folder = parts[0]
    if len(parts) == 1:
        return _OTHER
    if folder in _FOLDERS:
        return Kept(_FOLDERS[folder])
    if folder == "resources":
        return _resource(parts)
    if folder == "history":
        return _event(parts)
    if folder == "identity":
        return Kept("identity", parts[1]) if len(parts) > 2 and _TYPE.fullmatch(parts[1]) else _OTHER
    if folder == "bulk":
        return Kept(_JOBS.get(parts[1], "jobs"))
    if folder == "binary":
        return _payload(parts)
    return _OTHER


def _resource(parts: list[str]) -> Kept:
    type_ = parts[1]
    if not _TYPE.fullmatch(type_):
        return _OTHER
    if type_ == RECEIPT:
        return Kept("receipts")
    if len(parts) == 4 and parts[3] == "current.json":
        return Kept("current", type_)
    return Kept("versions", type_) if len(parts) == 5 and parts[3] == "_history" else _OTHER


def _event(parts: list[str]) -> Kept:
    if len(parts) == 4 and parts[1] == "type" and _TYPE.fullmatch(parts[2]):
        return Kept("events", parts[2])
    if len(parts) == 3 and parts[1] == "system":
        name = parts[2].split("_", 2)
        if len(name) == _SYSTEM_EVENT and _TYPE.fullmatch(name[1]):
            return Kept("events", name[1])
    return _OTHER


def _payload(parts: list[str]) -> Kept:
    if parts[1] == "payload":
        return Kept("payloads", "Binary")
    return Kept("uploads") if parts[1] == "uploads" else Kept("payload records")
