"""Conditional interactions and lookups by identifier: what clients want, and what they may be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhirstore.bundles.guard import Exclusive, Matched, Wanted
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.commit.single import Decide, Draft, WriteResult, write
from fhirstore.commit.transaction import Part, transact
from fhirstore.errors import (
    Contention,
    InvalidResource,
    MultipleMatches,
    Unavailable,
    VersionConflict,
    WriteOutcomeUnknown,
)
from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject
from fhirstore.history.page import safe_time
from fhirstore.index.names import Identifier, identifiers, value_hash
from fhirstore.indexing import committed as log
from fhirstore.interactions.conditional import Done, change_matching, create_unless, update_matching
from fhirstore.interactions.resources import creation, deletion, update
from fhirstore.search.conditional.candidates import Match, find, find_or_be_sure
from fhirstore.search.conditional.condition import parse_condition
from fhirstore.search.conditional.identifying import Criteria, parse_criteria
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call, Operation
from tests.simulation.model.truth import KEYS, TYPE, Truth
from tests.simulation.scenarios.operations import same, shown, tell

_ATTEMPTS = 8


def criteria_for(value: str, form: str, context: Context | None = None) -> Criteria:
    """The condition, in one of the token forms; `query`: one that the search index answers, with a claim on itself."""
    if form == "query":
        assert context is not None
        return _query(value, context)
    return parse_condition(TYPE, f"identifier={'s|' if form == 'system' else ''}{value}")


def _query(value: str, context: Context) -> Criteria:
    """As `search.condition` makes them. The index has nothing: all that the log leads to is read and tested."""
    identifier = Identifier("s", value)

    def meets(resource: JsonObject) -> bool:
        return identifier in identifiers(TYPE, json.encode(resource))

    def lookup(most: int) -> Protocol[Sequence[tuple[str, int]]]:
        listing = yield from log.events_from(KEYS, 0, most=1_000)
        found = yield from log.committed(KEYS, listing.events, {}, safe=safe_time(context))
        return [
            (name.partition("/")[2], record.version)
            for name, record in found.records.items()
            if record.exists and record.resource and identifier in identifiers(TYPE, record.resource)
        ][:most]

    return Criteria(TYPE, also=(("value", meets),), lookup=lookup, claim=value_hash(f"query {value}"))


def carrying(call: Call, by: str, *values: str) -> bytes:
    """A tiny resource with these identifiers."""
    members = ",".join(f'{{"system":"s","value":"{value}"}}' for value in values)
    return f'{{"call":{call.number},"by":"{by}","identifier":[{members}]}}'.encode()


def _putting(call: Call, by: str, *values: str) -> Decide:
    body = carrying(call, by, *values)
    return update(lambda _version, _t: body)


def healing(asked: str) -> tuple[Operation, ...]:
    """When all faults are over: whatever was claimed and left, a creation succeeds, and is found.

    `asked`: a value, after `?` where it was asked for by a query.
    """
    value = asked.removeprefix("?")
    form = "system" if asked == value else "query"
    return (Conditional("create", value, form), Seek(value, form), Seek(value, "value"))


def _asked(form: str, value: str) -> str:
    return f"?{value}" if form == "query" else value


@dataclass(frozen=True, slots=True)
class Carry:
    """A plain PUT of a resource that carries these identifiers."""

    id: str
    values: tuple[str, ...]

    def start(self, process: Process, context: Context, call: Call) -> Protocol[WriteResult]:
        outcome = yield from write(KEYS.resource(TYPE, self.id), _putting(call, "carry", *self.values), context=context)
        tell(process, self.id, outcome.record)
        return outcome

    def judge(self, call: Call, truth: Truth) -> list[str]:
        told = isinstance(call.outcome, WriteResult | Contention | Unavailable | WriteOutcomeUnknown)
        return [] if call.ended is None or told else [f"ended with {call.outcome!r}"]


@dataclass(frozen=True, slots=True)
class Sought:
    """What was found."""

    matches: tuple[Match, ...]


@dataclass(frozen=True, slots=True)
class Seek:
    """GET [type]?identifier=…, or the lookup for a conditional reference."""

    value: str
    form: str = "system"

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Sought]:
        return Sought(tuple((yield from find(KEYS, criteria_for(self.value, self.form, context), most=100))))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        if not isinstance(call.outcome, Sought):
            return [f"ended with {call.outcome!r}"]
        wrong: list[str] = []
        found: set[str] = set()
        for match in call.outcome.matches:
            found.add(match.keys.id)
            wrong += _carried(call, match.keys.id, match.base.record, self.value, truth)
        identifier = Identifier("s", self.value)
        missed = truth.identities.missed(identifier, found, call.began, call.ended)
        return wrong + [f"did not find {id_}, which was there all the time" for id_ in missed]


@dataclass(frozen=True, slots=True)
class Listed:
    """All matches: id and version of each."""

    matches: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class SeekAll:
    """What a conditional delete on `identifier=s|` looks for."""

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Listed]:
        criteria = parse_criteria(TYPE, [("identifier", "s|")], now=0)
        found = yield from find_or_be_sure(KEYS, criteria, most=1_000)
        return Listed(tuple((one.keys.id, one.base.version) for one in found))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        if not isinstance(call.outcome, Listed):
            return [f"ended with {call.outcome!r}"]
        ids = [id_ for id_, _ in call.outcome.matches]
        wrong = [] if len(ids) == len(set(ids)) else ["was given a resource twice"]
        for id_, version in call.outcome.matches:
            history = truth.history(id_)
            if not history.shows(version, call.began, call.ended):
                wrong.append(f"was given {id_} version {version}, which was not current at any time meanwhile")
            elif not identifiers(TYPE, history.versions[version - 1].record.resource):
                wrong.append(f"was given {id_}, which does not match")
        missed = truth.identities.missed(Identifier("s"), set(ids), call.began, call.ended)
        return wrong + [f"did not find {id_}, which was there all the time" for id_ in missed]


@dataclass(frozen=True, slots=True)
class Conditional:
    """`kind`: create, put or delete on a condition. `id`: in the body of a put."""

    kind: str
    value: str
    form: str = "system"
    id: str | None = None

    def start(self, process: Process, context: Context, call: Call) -> Protocol[Done | None]:
        condition = criteria_for(self.value, self.form, context)
        process.world.asked.add(_asked(self.form, self.value))
        body = carrying(call, self.kind, self.value)
        if self.kind == "create":
            return (
                yield from create_unless(
                    KEYS, condition, lambda _: creation(lambda _version, _t: body), context=context
                )
            )
        if self.kind == "put":
            decide = _putting(call, self.kind, self.value)
            return (yield from update_matching(KEYS, condition, lambda _: decide, id=self.id, context=context))
        return (yield from change_matching(KEYS, condition, deletion(), context=context))

    def judge(self, call: Call, truth: Truth) -> list[str]:
        mine = [truth.landed[key] for token in call.tokens for key in truth.landed if key[1] == token]
        wrong = [f"was applied {len(mine)} times"] if len(mine) > 1 else []
        unknown = call.ended is None or isinstance(call.outcome, WriteOutcomeUnknown)
        identifier = Identifier("s", self.value)
        for history, committed in mine:
            number = committed.record.version
            if not call.began <= committed.at or (not unknown and committed.at > (call.ended or 0.0)):
                wrong.append("was committed outside its call")
            before = history.versions[number - 2] if number > 1 else None
            was = None if before is None or before.purged <= committed.at else before.record.resource
            if self.kind == "delete" or was is not None:
                if identifier not in identifiers(TYPE, was):
                    wrong.append(f"changed {history.keys.id}, which did not match")
            elif not truth.identities.absent(identifier, call.began, committed.at):
                wrong.append("created, though something matched all the time")
        if call.ended is None or unknown:
            return wrong
        if isinstance(call.outcome, Done | None):
            return wrong + self._judge_success(call, call.ended, call.outcome, truth)
        if mine:
            wrong.append(f"was told {type(call.outcome).__name__}, but it was applied")
        if isinstance(call.outcome, MultipleMatches):
            if not truth.identities.several(identifier, call.began, call.ended):
                wrong.append("was told of several matches, which there never were")
        elif isinstance(call.outcome, VersionConflict | InvalidResource) and self.id is not None:
            pass  # the id in the body was taken, or another resource matched
        elif not isinstance(call.outcome, Contention | Unavailable):
            wrong.append(f"ended with {call.outcome!r}")
        return wrong

    def _judge_success(self, call: Call, ended: float, done: Done | None, truth: Truth) -> list[str]:
        if done is None:
            absent = truth.identities.absent(Identifier("s", self.value), call.began, ended)
            return [] if absent else ["found nothing to delete, though something matched all the time"]
        outcome, history = done.outcome, truth.history(done.keys.id)
        if not outcome.applied:
            return _carried(call, done.keys.id, outcome.record, self.value, truth)
        record = outcome.record
        if record is None or record.op not in call.tokens:
            return ["returned another's version"]
        if not history.holds(record.version, call.began, ended):
            return [f"was acknowledged as version {record.version}, which never came to be"]
        return same(record, history, record.version)


@dataclass(frozen=True, slots=True)
class CreateAll:
    """A transaction that creates one resource per value, each unless one matches."""

    values: tuple[str, ...]
    form: str = "system"

    def start(self, process: Process, context: Context, call: Call) -> Protocol[int]:
        for _ in range(_ATTEMPTS):
            process.world.asked.update(_asked(self.form, value) for value in self.values)
            conditions = [criteria_for(value, self.form, context) for value in self.values]
            parts: list[Part] = []
            wanted: list[Wanted] = []
            for value, condition in zip(self.values, conditions, strict=True):
                if (yield from find(KEYS, condition, most=1)):
                    continue
                keys, body = KEYS.resource(TYPE, context.ids.new()), carrying(call, "create", value)
                parts.append(Part(keys, _creating(body), fresh=True))
                wanted.append(Wanted(condition, keys.id, version=int(context.ids.jitter(0.0, 2.0))))
            if not parts:
                return 0
            try:
                done = yield from transact(parts, context=context, guard=Exclusive(KEYS, wanted, context))
            except Matched:
                continue
            call.rest = done.finish
            return len(parts)
        raise Contention("others kept creating")

    def judge(self, call: Call, truth: Truth) -> list[str]:
        mine = [decided for token in call.tokens if (decided := truth.transactions.committed(token)) is not None]
        wrong = [f"was committed {len(mine)} times"] if len(mine) > 1 else []
        for decided in mine:
            for _, id_, version in decided.decision.parts:
                for identifier in identifiers(TYPE, truth.history(id_).versions[version - 1].record.resource):
                    if not truth.identities.absent(identifier, call.began, decided.at):
                        wrong.append("created, though something matched all the time")
        if call.ended is None or isinstance(call.outcome, WriteOutcomeUnknown):
            return wrong
        if isinstance(call.outcome, int):
            told = call.outcome == sum(len(decided.decision.parts) for decided in mine)
            return wrong if told else [*wrong, f"was told of {call.outcome} creations"]
        if mine:
            wrong.append(f"was told {type(call.outcome).__name__}, but it is committed")
        if not isinstance(call.outcome, Contention | Unavailable):
            wrong.append(f"ended with {call.outcome!r}")
        return wrong


def _creating(body: bytes) -> Decide:
    return lambda _: Draft("POST", lambda _version, _t: body)


def _carried(call: Call, id: str, record: object, value: str, truth: Truth) -> list[str]:
    """Is this a version that matched at some instant of the call?"""
    wrong = shown(call, record, truth.history(id))
    resource = getattr(record, "resource", None)
    return (
        wrong
        if Identifier("s", value) in identifiers(TYPE, resource)
        else [*wrong, f"was given {id}, which does not match"]
    )
