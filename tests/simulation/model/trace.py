"""Requests and replies in few words, for the trace of a failing seed."""

from __future__ import annotations

from fhirstore.commit.messages import AbortUpload, Delete, Get, List, Put, Reply, Request
from fhirstore.errors import CorruptRecord
from fhirstore.format.record import decode
from fhirstore.objects.base import IfMatch, Page, StoredObject, Written
from tests.simulation.model.uploads import BeginUpload, CompleteUpload, PutPart
from tests.simulation.model.world import BEGINNING


def show(message: Request | Reply) -> str:
    """One message on part of a line."""
    if isinstance(message, Get):
        return f"GET {_key(message.key)}"
    if isinstance(message, BeginUpload | PutPart | CompleteUpload | AbortUpload):
        which = "" if isinstance(message, BeginUpload) else f" {message.upload}"
        return f"{type(message).__name__}{which} {_key(message.key)}"
    if isinstance(message, Put):
        condition = message.condition
        when = "" if condition is None else f" if {condition.etag}" if isinstance(condition, IfMatch) else " if absent"
        until = "" if message.expires is None else f" until {message.expires - BEGINNING:.0f}"
        return f"PUT {_key(message.key)} {_body(message.body)}{when}{until}"
    if isinstance(message, Delete):
        until = "" if message.expires is None else f" until {message.expires - BEGINNING:.0f}"
        return f"DELETE {' '.join(map(_key, message.keys))}{until}"
    if isinstance(message, List):
        return f"LIST {_key(message.prefix)} after {message.cursor or message.start_after} limit {message.limit}"
    if isinstance(message, StoredObject):
        return f"{message.etag} {_body(message.body)}"
    if isinstance(message, Written):
        return f"written {message.etag}"
    if isinstance(message, Page):
        return f"{len(message.objects)} objects, {len(message.prefixes)} folders, more: {message.cursor is not None}"
    return type(message).__name__


def _key(key: str) -> str:
    """Without what all keys share."""
    for long, short in (("resources/Basic/", ""), ("_history/", "v"), ("history/type/Basic/", "event/")):
        key = key.replace(long, short)
    return key.removesuffix(".json")


def _body(body: bytes) -> str:
    if not body:
        return "()"
    try:
        record = decode(body, "")
    except CorruptRecord:
        return body[:60].decode("utf-8", "replace")
    facts = [f"v{record.version}", record.method, f"op={record.op}", f"t={record.t - BEGINNING:.0f}"]
    for name in ("base", "prior", "floor", "fence"):
        if getattr(record, name):
            facts.append(f"{name}={getattr(record, name)}")
    if record.intent is not None:
        facts.append(f"intent={record.intent.tx}→{record.intent.v}")
    if record.hold:
        facts.append(f"hold={record.hold - BEGINNING:.0f}")
    return f"({' '.join(facts)})"
