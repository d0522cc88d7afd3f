"""Checks the decisions of transactions: each is readable, and every version of a committed one exists.

A committed transaction that is not final yet is not a finding here: readers look through its intents, and the pass over
the resources finds intents that are not cleared.

Cost: 1 LIST per 1,000 decisions, 1 GET per decision, 1 GET per version of a committed one.
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.batched import batched
from fhirstore.commit.messages import Absent, Get, List, Protocol
from fhirstore.commit.reading import ask
from fhirstore.errors import CorruptRecord, InvalidResource
from fhirstore.format.decision import Decision, decode_decision
from fhirstore.format.keyspace import Keyspace, ResourceKeys
from fhirstore.objects.base import StoredObject
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.record_checks import readable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage

_AT_ONCE = 64


def walk_transactions(keys: Keyspace, *, page: int) -> Protocol[list[Finding]]:
    """Returns what is wrong with the decisions. Raises Unavailable."""
    findings: list[Finding] = []
    lost: list[str] = []
    cursor: str | None = None
    while True:
        found = yield from listed_behind_damage(List(keys.transactions(), cursor=cursor, limit=page), lost)
        for names in batched([item.key for item in found.objects], _AT_ONCE):
            replies = yield from ask(*map(Get, names))
            for name, reply in zip(names, replies, strict=True):
                if not isinstance(reply, Absent):
                    findings += yield from _record(keys, name, reply)
        cursor = found.cursor
        if cursor is None:
            return findings + unreadable(lost)


def _record(keys: Keyspace, key: str, reply: StoredObject) -> Protocol[list[Finding]]:
    name = key.removeprefix(keys.transactions()).removesuffix(".json")
    if "/" in name or keys.transaction(name) != key:
        return [Finding("stray-key", key)]
    try:
        decision = decode_decision(reply.body, key)
        parts = list(_parts(keys, decision))
    except (CorruptRecord, InvalidResource):
        return [Finding("transaction-corrupt", key)]
    findings: list[Finding] = []
    for some in batched(parts, _AT_ONCE):
        replies = yield from ask(*(Get(resource.current) for resource, _ in some))
        for (resource, version), on_current in zip(some, replies, strict=True):
            current = readable(on_current, resource.current) if isinstance(on_current, StoredObject) else None
            if isinstance(on_current, StoredObject) and current is None:
                continue  # the pass over the resources reports it
            coming = current is not None and current.intent is not None and current.intent.tx == name
            if not coming and (0 if current is None else current.version) < version:
                detail = f"version {version} of {resource.type}/{resource.id}"
                findings.append(Finding("transaction-torn", key, detail, resource=resource, version=version))
    return findings


def _parts(keys: Keyspace, decision: Decision) -> Iterator[tuple[ResourceKeys, int]]:
    for type_, id_, version in decision.parts:
        yield keys.resource(type_, id_), version
