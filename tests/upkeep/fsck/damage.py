"""Ways to damage a store, each with what fsck must say about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from msgspec.structs import replace

from fhirstore.commit.drive import drive
from fhirstore.commit.messages import Get
from fhirstore.commit.purge import purge
from fhirstore.commit.reading import ask
from fhirstore.commit.single import Draft, write
from fhirstore.fhir.json import with_identity
from fhirstore.format.keyspace import ResourceKeys
from fhirstore.format.record import Record, decode
from fhirstore.index.names import Identifier, system_name
from fhirstore.jobs.state import State
from fhirstore.objects.base import ObjectStore, StoredObject
from fhirstore.upkeep.sweep.run import sweep
from tests.commit.hurried import HandClock, hurried, hurry
from tests.upkeep.sweep.attempts import KEYS, SETTLED, context, die, put

KEY = KEYS.resource("Basic", "a")
SINGLE = KEYS.resource("Basic", "single")


@dataclass(frozen=True, slots=True)
class Case:
    """`damage` done to a store made by `healthy` shows as `kinds` (kind -> key); `repairable`: then it is clean."""

    name: str
    damage: Callable[[ObjectStore, HandClock], Awaitable[dict[str, str]]]
    repairable: bool
    deep: bool = False


async def healthy(store: ObjectStore, clock: HandClock) -> None:
    """Resource a with versions 1 to 3, others beside it, a deletion, everything settled."""
    for _ in range(3):
        await put(store, clock, "a")
        clock.ms += 1
    for n in range(12):
        await put(store, clock, f"b{n}", type="Patient")
    await put(store, clock, "b1", type="Patient", method="DELETE")
    await put(store, clock, "single")
    clock.ms += SETTLED


async def record_at(store: ObjectStore, key: str) -> Record:
    """The record under `key`."""
    (reply,) = await drive(ask(Get(key)), store)
    assert isinstance(reply, StoredObject)
    return decode(reply.body, key)


async def _rewrite(store: ObjectStore, key: str, change: Callable[[Record], Record]) -> None:
    await store.put(key, change(await record_at(store, key)).encode())


def _tampered(record: Record) -> Record:
    assert record.resource is not None
    return replace(record, resource=record.resource[:-1] + b" }")  # the old checksum stays


def _without_checksum(record: Record) -> Record:
    return replace(record, sha256=None)


async def _current_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.delete(KEY.current)
    return {"current-missing": KEY.current}


async def _only_current_missing_but_swept(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await hurry(sweep(KEYS, context=context(store)), store, clock)
    await store.delete(SINGLE.current)
    return {"current-missing": SINGLE.current, "orphan-below-watermark": ""}


async def _current_one_behind_but_swept(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await hurry(sweep(KEYS, context=context(store)), store, clock)
    await store.put(KEY.current, (await store.get(KEY.version(2))).body)
    return {"current-behind": KEY.current, "orphan-below-watermark": ""}


async def _lost_altogether(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    system, _type = _events_of(SINGLE, await record_at(store, SINGLE.current))
    await hurry(sweep(KEYS, context=context(store)), store, clock)
    await store.delete_many([SINGLE.current, SINGLE.version(1)])
    return {"orphan-below-watermark": system}


async def _current_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.current, b'{"v":3,')
    return {"current-corrupt": KEY.current}


async def _current_corrupt_and_a_gap(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.current, b"")
    await store.delete(KEY.version(2))
    return {"current-corrupt": KEY.current}


async def _current_behind(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.current, (await store.get(KEY.version(1))).body)
    return {"current-behind": KEY.current}


async def _current_tampered(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.current, _tampered)
    return {"checksum": KEY.current}


async def _newest_tampered(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(3), _tampered)
    return {"checksum": KEY.version(3)}


async def _older_tampered(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(2), _tampered)
    return {"checksum": KEY.version(2)}


async def _newest_differs(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(3), lambda record: replace(record, op="01OTHER"))
    return {"current-differs": KEY.version(3)}


async def _newest_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.delete(KEY.version(3))
    return {"version-missing": KEY.version(3)}


async def _older_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.delete(KEY.version(2))
    return {"version-missing": KEY.version(2)}


async def _newest_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.version(3), b"\x00")
    return {"version-corrupt": KEY.version(3)}


async def _older_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.version(1), b"[]")
    return {"version-corrupt": KEY.version(1)}


async def _slot_corrupt(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await die(store, "a")
    await store.put(KEY.version(4), b"{")
    clock.ms += SETTLED
    return {"version-corrupt": KEY.version(4), "orphan-event": ""}


async def _newest_number(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.version(3), (await store.get(KEY.version(2))).body)
    return {"version-number": KEY.version(3)}


async def _older_number(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEY.version(1), (await store.get(KEY.version(2))).body)
    return {"version-number": KEY.version(1)}


async def _prior_broken(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(2), lambda record: replace(record, prior="01OTHER"))
    return {"prior-broken": KEY.version(2)}


async def _first_with_prior(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(1), lambda record: replace(record, prior="01OTHER"))
    return {"prior-broken": KEY.version(1)}


async def _time_order(store: ObjectStore, _: HandClock) -> dict[str, str]:
    later = (await record_at(store, KEY.version(3))).t
    await _rewrite(store, KEY.version(2), lambda record: replace(record, t=later))
    return {"time-order": KEY.version(3), "meta": KEY.version(2)}


async def _identity(store: ObjectStore, _: HandClock) -> dict[str, str]:
    def change(record: Record) -> Record:
        assert record.resource is not None
        return replace(record, resource=record.resource.replace(b'"id":"a"', b'"id":"z"'), sha256=None)

    await _rewrite(store, KEY.version(2), change)
    return {"identity": KEY.version(2)}


async def _not_fhir(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await _rewrite(store, KEY.version(2), lambda record: replace(record, resource=b"12", sha256=None))
    return {"identity": KEY.version(2)}


async def _meta(store: ObjectStore, _: HandClock) -> dict[str, str]:
    def change(record: Record) -> Record:
        assert record.resource is not None
        resource = record.resource.replace(b'"versionId":"2"', b'"versionId":"9"')
        return _without_checksum(replace(record, resource=resource))

    await _rewrite(store, KEY.version(2), change)
    return {"meta": KEY.version(2)}


def _events_of(keys: ResourceKeys, record: Record) -> tuple[str, str]:
    names = (record.t, record.version, record.method, record.op)
    return keys.system_event(*names), keys.type_event(*names)


async def _system_event_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    system, _type = _events_of(KEY, await record_at(store, KEY.version(2)))
    await store.delete(system)
    return {"system-event-missing": system}


async def _type_event_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    _system, type_ = _events_of(KEY, await record_at(store, KEY.version(3)))
    await store.delete(type_)
    return {"type-event-missing": type_}


async def _both_events_missing(store: ObjectStore, _: HandClock) -> dict[str, str]:
    system, type_ = _events_of(KEY, await record_at(store, KEY.version(1)))
    await store.delete_many([system, type_])
    return {"system-event-missing": system, "type-event-missing": type_}


async def _purge_remnants(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    old = await store.get(KEY.version(2))
    system, type_ = _events_of(KEY, await record_at(store, KEY.version(2)))
    await hurry(purge(KEY, by="x", context=context(store)), store, clock)
    await store.put(KEY.version(2), old.body)
    await store.put(system, b"")
    await store.put(type_, b"")
    clock.ms += 61_000
    return {"purge-remnant": KEY.version(2)}


async def _purged_events(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    system, _type = _events_of(KEY, await record_at(store, KEY.version(2)))
    await hurry(purge(KEY, by="x", context=context(store)), store, clock)
    await store.put(system, b"")
    clock.ms += 61_000
    return {"purge-remnant": system}


async def _orphan_below_watermark(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    key = KEY.system_event(clock.ms - SETTLED, 2, "PUT", "01DEAD")
    await store.put(key, b"")
    clock.ms += 2 * SETTLED
    await store.put(KEYS.sweep_state, State(work={"watermark": clock.ms - SETTLED}).encode())
    return {"orphan-below-watermark": key}


async def _sweep_state_corrupt(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEYS.sweep_state, b"{")
    return {"sweep-state": KEYS.sweep_state}


async def _watermark_ahead(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await store.put(KEYS.sweep_state, State(work={"watermark": clock.ms}).encode())
    return {"sweep-state": KEYS.sweep_state}


async def _watermark_no_time(store: ObjectStore, _: HandClock) -> dict[str, str]:
    await store.put(KEYS.sweep_state, State(work={"watermark": "late"}).encode())
    return {"sweep-state": KEYS.sweep_state}


async def _lease_without_end(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await store.put(KEYS.sweep_state, State("running", 1, "x", clock.ms + 10**8, 1).encode())
    return {"sweep-state": KEYS.sweep_state}


async def _orphan_slot(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await die(store, "a")
    clock.ms += SETTLED
    return {"orphan-slot": KEY.version(4), "orphan-event": ""}


async def _orphan_first_slot(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await die(store, "new")
    clock.ms += SETTLED
    return {"orphan-slot": KEYS.resource("Basic", "new").version(1), "orphan-event": ""}


async def _orphan_event(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    key = KEY.type_event(clock.ms - SETTLED, 2, "PUT", "01DEAD")
    await store.put(key, b"")
    clock.ms += SETTLED
    return {"orphan-event": key}


async def _identified(store: ObjectStore, clock: HandClock) -> tuple[ResourceKeys, str]:
    """A resource with an identifier, and the identifier's name in the index."""
    keys = KEYS.resource("Patient", "identified")
    members: dict[str, object] = {"resourceType": "Patient", "identifier": [{"system": "s", "value": "v"}]}
    draft = Draft("PUT", lambda version, t: with_identity(members, id=keys.id, version=version, last_updated=t))
    await drive(hurried(write(keys, lambda _: draft, context=context(store)), clock), store)
    clock.ms += SETTLED
    return keys, Identifier("s", "v").name


async def _index_entry_missing(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    keys, name = await _identified(store, clock)
    await store.delete(keys.index_entry(name, 1))
    return {"index-entry-missing": keys.index_entry(name, 1)}


async def _system_entry_missing(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    keys, _ = await _identified(store, clock)
    await store.delete(keys.index_entry(system_name("s"), 1))
    return {"index-entry-missing": keys.index_entry(system_name("s"), 1)}


async def _system_entry_dead(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    await _identified(store, clock)
    await store.put(SINGLE.index_entry(system_name("s"), 1), b"")
    return {"index-entry-dead": SINGLE.index_entry(system_name("s"), 1)}


async def _index_entry_dead(store: ObjectStore, clock: HandClock) -> dict[str, str]:
    _, name = await _identified(store, clock)
    await store.put(SINGLE.index_entry(name, 2), b"")  # of an attempt that died: nobody can tell yet
    await store.put(SINGLE.index_entry(name, 1), b"")
    return {"index-entry-dead": SINGLE.index_entry(name, 1)}


def _stray(name: str, shown: str | None = None) -> Callable[[ObjectStore, HandClock], Awaitable[dict[str, str]]]:
    async def damage(store: ObjectStore, _: HandClock) -> dict[str, str]:
        await store.put(KEYS.prefix + name, b"")
        return {"stray-key": KEYS.prefix + (shown or name)}

    return damage


CASES = (
    Case("current missing", _current_missing, repairable=True),
    Case("current of a single swept version missing", _only_current_missing_but_swept, repairable=True),
    Case("current one behind what was swept", _current_one_behind_but_swept, repairable=True),
    Case("a swept resource lost altogether", _lost_altogether, repairable=False),
    Case("current corrupt", _current_corrupt, repairable=True),
    Case("current corrupt and a gap", _current_corrupt_and_a_gap, repairable=False),
    Case("current behind", _current_behind, repairable=True),
    Case("current tampered with", _current_tampered, repairable=True),
    Case("newest tampered with", _newest_tampered, repairable=True),
    Case("older tampered with", _older_tampered, repairable=False, deep=True),
    Case("newest differs", _newest_differs, repairable=True),
    Case("newest missing", _newest_missing, repairable=True),
    Case("older missing", _older_missing, repairable=False),
    Case("newest corrupt", _newest_corrupt, repairable=True),
    Case("older corrupt", _older_corrupt, repairable=False),
    Case("slot corrupt", _slot_corrupt, repairable=True),
    Case("newest has another number", _newest_number, repairable=True),
    Case("older has another number", _older_number, repairable=False),
    Case("prior broken", _prior_broken, repairable=False),
    Case("first version with a prior", _first_with_prior, repairable=False),
    Case("time order", _time_order, repairable=False),
    Case("identity", _identity, repairable=False),
    Case("not FHIR", _not_fhir, repairable=False),
    Case("meta", _meta, repairable=False),
    Case("system event missing", _system_event_missing, repairable=True),
    Case("type event missing", _type_event_missing, repairable=True),
    Case("both events missing", _both_events_missing, repairable=True),
    Case("index entry missing", _index_entry_missing, repairable=True),
    Case("index entry dead", _index_entry_dead, repairable=True, deep=True),
    Case("system entry missing", _system_entry_missing, repairable=True),
    Case("system entry dead", _system_entry_dead, repairable=True, deep=True),
    Case("stray in the index", _stray("identity/Basic/x"), repairable=False),
    Case("purge remnants", _purge_remnants, repairable=True),
    Case("purged events", _purged_events, repairable=True),
    Case("orphan below the watermark", _orphan_below_watermark, repairable=True),
    Case("sweep state corrupt", _sweep_state_corrupt, repairable=True),
    Case("watermark ahead", _watermark_ahead, repairable=True),
    Case("watermark no time", _watermark_no_time, repairable=True),
    Case("lease without end", _lease_without_end, repairable=True),
    Case("orphan slot", _orphan_slot, repairable=True),
    Case("orphan first slot", _orphan_first_slot, repairable=True),
    Case("orphan event", _orphan_event, repairable=True),
    Case("stray at the top", _stray("note.txt"), repairable=False),
    Case("stray folder", _stray("other/x", "other/"), repairable=False),
    Case("stray beside events", _stray("history/other.json"), repairable=False),
    Case("stray among system events", _stray("history/system/x.json"), repairable=False),
    Case("stray among types", _stray("history/type/x.json"), repairable=False),
    Case("stray among type events", _stray("history/type/Basic/x.json"), repairable=False),
    Case("stray type folder", _stray("history/type/xx/1700000000000_a_1_PUT-01.json"), repairable=False),
    Case("stray in a resource", _stray("resources/Basic/a/x.json"), repairable=False),
    Case("stray version", _stray("resources/Basic/a/_history/03.json"), repairable=False),
    Case("stray beside types", _stray("resources/x.json"), repairable=False),
    Case("stray beside the sweeper's state", _stray("sweep/x"), repairable=False),
)
