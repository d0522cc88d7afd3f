"""What clients do with Binaries whose content lies outside their record, while the sweeper passes and others purge."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.clock import Ids
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Get, Pause, Protocol
from fhirstore.commit.placing import Arriving, arrive, complete
from fhirstore.commit.purge import Purged, purge
from fhirstore.commit.reading import ask, look
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.commit.transaction import Part, transact
from fhirstore.errors import (
    Contention,
    CorruptRecord,
    FhirStoreError,
    PayloadGone,
    Unavailable,
    VersionConflict,
    WriteOutcomeUnknown,
)
from fhirstore.fhir import json
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.marker import with_marker
from fhirstore.format.payload import Payload, payload_object
from fhirstore.format.record import Record
from fhirstore.interactions.resources import deletion
from fhirstore.upkeep.sweep.payloads import PayloadPace, sweep_payloads
from fhirstore.upkeep.sweep.run import Pace, sweep
from fhirstore.upkeep.sweep.uploads import sweep_uploads
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, Truth
from tests.simulation.model.uploads import BeginUpload, PutPart, abort, answered, complete_upload

BINARY = "Binary"
_REFUSALS = (Contention, Unavailable)


@dataclass(frozen=True, slots=True)
class _Ulids:
    """Ids that are as long as real ones, because the sweeper goes by the length of entries."""

    ids: Ids

    def new(self) -> str:
        return padded(self.ids.new())

    def jitter(self, low: float, high: float) -> float:
        return self.ids.jitter(low, high)


def padded(token: str) -> str:
    """A token as it is in the store."""
    return f"{token:x<26}"


def keys_of(id: str) -> ResourceKeys:
    """The keys of a Binary."""
    return KEYS.resource(BINARY, id)


def _bytes(content: str) -> bytes:
    return content.encode() * 8


def _inline(id: str, content: str) -> Callable[[int, int], bytes]:
    """A Binary with its content in it, which the commit moves out."""
    members: dict[str, object] = {"resourceType": BINARY, "data": base64.b64encode(_bytes(content)).decode()}
    return lambda version, t: json.with_identity(members, id=id, version=version, last_updated=t)


def _marked(id: str, payload: Payload) -> Callable[[int, int], bytes]:
    members = with_marker({"resourceType": BINARY}, payload.sha256, payload.size)
    return lambda version, t: json.with_identity(members, id=id, version=version, last_updated=t)


def _as_made(call: Call, truth: Truth, ids: tuple[str, ...], *, last: bool) -> list[str]:
    """What is wrong with what a writer was told."""
    landed = [(id_, padded(token)) for id_ in ids for token in call.tokens if (id_, padded(token)) in truth.landed]
    outcome = call.outcome
    if call.ended is None or (isinstance(outcome, WriteOutcomeUnknown) and not last):
        return []
    if isinstance(outcome, tuple):
        told = [(id_, one.record.op) for id_, one in zip(ids, outcome, strict=True) if one.applied and one.record]
        return [] if sorted(told) == sorted(landed) else [f"was told of {told}, committed were {landed}"]
    if landed:
        return [f"was told {outcome!r}, but it has committed {landed}"]
    if isinstance(outcome, PayloadGone) and not last:
        early = call.ended - call.began < truth.limits.unused
        return ["lost its content before its time was over"] if early else []
    return [] if isinstance(outcome, _REFUSALS) and not last else [f"ended with {outcome!r}"]


@dataclass(frozen=True, slots=True)
class Upload:
    """Upload a content in parts, then write a Binary with it. `slow`: ms before the entry, the end, and the commit.

    `bundled`: it is written by a transaction. `last`: without faults.
    """

    id: str
    content: str
    slow: tuple[float, float, float] = (0.0, 0.0, 0.0)
    last: bool = False
    bundled: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[WriteResult, ...]]:
        context = replace(context, ids=_Ulids(context.ids))
        payload = yield from self._received(context)
        yield Pause(self.slow[2] / 1000)
        draft = Draft("PUT", _marked(self.id, payload), payload=payload)
        if self.bundled:
            done = yield from transact([Part(keys_of(self.id), lambda _: draft)], context=context)
            call.rest = done.finish
            return done.results
        return ((yield from write(keys_of(self.id), lambda _: draft, context=context)),)

    def _received(self, context: Context) -> Protocol[Payload]:
        """As `Payloads.receive` does."""
        body = _bytes(self.content)
        payload = Payload(hashlib.sha256(body).hexdigest(), len(body), payload_object(context.ids.new()))
        begun = yield from answered(BeginUpload(payload.object, b""))
        try:
            yield from answered(PutPart(payload.object, body, upload=begun, number=1))
            yield Pause(self.slow[0] / 1000)
            arriving = yield from arrive(KEYS, payload, context=context)
            if isinstance(arriving, Arriving):
                yield Pause(self.slow[1] / 1000)
                yield from complete_upload(payload.object, begun, (body,))
        except FhirStoreError:
            yield from abort(payload.object, begun)
            raise
        if isinstance(arriving, Payload):
            yield from abort(payload.object, begun)
            return arriving
        return (yield from complete(KEYS, payload, arriving, context=context))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return _as_made(call, truth, (self.id,), last=self.last)


@dataclass(frozen=True, slots=True)
class StoreAll:
    """Write Binaries with their contents in them: one by itself, several as a transaction. `last`: without faults."""

    contents: tuple[tuple[str, str], ...]  # id, content
    last: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[WriteResult, ...]]:
        context = replace(context, ids=_Ulids(context.ids))
        parts = [Part(keys_of(id_), _drafted(id_, content)) for id_, content in self.contents]
        if len(parts) == 1:
            return ((yield from write(parts[0].keys, parts[0].decide, context=context)),)
        done = yield from transact(parts, context=context)
        call.rest = done.finish
        return done.results

    def judge(self, call: Call, truth: Truth) -> list[str]:
        return _as_made(call, truth, tuple(id_ for id_, _ in self.contents), last=self.last)


def _drafted(id: str, content: str) -> Decide:
    draft = Draft("PUT", _inline(id, content))
    return lambda _: draft


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Write a Binary as it was read, with its marker; or delete it."""

    id: str
    delete: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[WriteResult]]:
        context = replace(context, ids=_Ulids(context.ids))
        decide = deletion() if self.delete else self._same
        return ((yield from write(keys_of(self.id), decide, context=context)),)

    def _same(self, current: Record | None) -> Draft | None:
        payload = None if current is None else current.payload
        return None if payload is None else Draft("PUT", _marked(self.id, payload))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if isinstance(call.outcome, VersionConflict):
            return []
        return _as_made(call, truth, (self.id,), last=False)


@dataclass(frozen=True, slots=True)
class ReadContent:
    """Read a Binary and its content."""

    id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[tuple[Record, bytes | None] | None]:
        base, _ = yield from look(keys_of(self.id))
        record = base.shown
        if record is None or record.payload is None:
            return None
        (found,) = yield from ask(Get(record.payload.object))
        return record, None if isinstance(found, Absent) else found.body

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or call.outcome is None or isinstance(call.outcome, Unavailable):
            return []
        if not isinstance(call.outcome, tuple):
            return [f"ended with {call.outcome!r}"]
        record, body = call.outcome
        if body is None:
            lacked = truth.history(self.id, BINARY).lacks(record.version, call.began, call.ended)
            return [] if lacked else ["found no content"]
        return [] if hashlib.sha256(body).hexdigest() == record.payload.sha256 else ["read another content"]


@dataclass(frozen=True, slots=True)
class PurgeBinary:
    """Remove a Binary with its history."""

    id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Purged]:
        context = replace(context, ids=_Ulids(context.ids))
        return (yield from purge(keys_of(self.id), by="sim", context=context))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        fine = call.ended is None or isinstance(call.outcome, Purged | WriteOutcomeUnknown | Unavailable | Contention)
        return [] if fine else [f"ended with {call.outcome!r}"]


@dataclass(frozen=True, slots=True)
class SweepPayloads:
    """One pass over everything. `only`: over payloads alone. `pages`, `page`: of payloads."""

    pages: int = 50
    page: int = 3
    only: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[int]:
        context = replace(context, ids=_Ulids(context.ids))
        if not self.only:
            pace = Pace(margin=100, lease=3 * context.limits.window, page=3, at_once=3)
            yield from sweep(KEYS, context=context, pace=pace)
            yield from sweep_uploads(KEYS, context=context, margin=100)
        payloads = PayloadPace(pages=self.pages, page=self.page, at_once=2, margin=100)
        return (yield from sweep_payloads(KEYS, context=context, pace=payloads))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        told = call.ended is None or isinstance(call.outcome, int | Unavailable | CorruptRecord)
        return [] if told else [f"ended with {call.outcome!r}"]
