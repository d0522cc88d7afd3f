"""A7: a content that nothing refers to goes, in steps; what is referred to, or was uploaded today, stays."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore, Payload, PayloadGone, TenantStore
from fhirstore.commit.drive import drive
from fhirstore.commit.limits import Limits
from fhirstore.commit.placing import arrive
from fhirstore.commit.purge import purge
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.sweep.payloads import PayloadPace, sweep_payloads
from fhirstore.upkeep.sweep.run import sweep
from fhirstore.upkeep.sweep.uploads import sweep_uploads
from tests.commit.hurried import HandClock, hurry
from tests.upkeep.sweep.attempts import context
from tests.uploads.contents import BINARY, LARGE, LONG, content_of, keys_below, pieces, sha256

CLINIC = Keyspace.of_tenant("clinic")
DAY = Limits().unused + 60_000
SETTLED = Limits().settled + 60_000


def _clinic(objects: ObjectStore) -> TenantStore:
    return FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("clinic")


async def _sweep(objects: ObjectStore, clock: HandClock, pace: PayloadPace | None = None) -> int:
    return await hurry(sweep_payloads(CLINIC, context=context(objects), pace=pace), objects, clock)


async def test_a_content_that_nobody_committed_goes_after_a_day() -> None:
    """First it is condemned, then it goes; the same content can be uploaded again at any time."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    lost = await clinic.payloads.receive(pieces(LONG))
    kept = await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LARGE)))
    assert await _sweep(objects, clock) == 0
    clock.ms += DAY
    assert await _sweep(objects, clock) == 0  # condemned
    assert await _sweep(objects, clock) == 0  # not settled yet
    clock.ms += SETTLED
    assert await _sweep(objects, clock) == 1
    assert len(await keys_below(objects, "binary/payload/")) == 1
    with pytest.raises(PayloadGone):
        await clinic.create_binary(BINARY, lost)
    again = await clinic.payloads.receive(pieces(LONG))
    assert again.object != lost.object
    assert (await clinic.create_binary(BINARY, again)).payload == again
    assert kept.payload is not None
    assert await content_of(clinic, kept.payload) == LARGE


async def test_whoever_commits_a_condemned_content_keeps_it() -> None:
    """By a commit, or by another upload of it."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    for how in ("commit", "upload"):
        content = LONG + how.encode()
        payload = await clinic.payloads.receive(pieces(content))
        clock.ms += DAY
        await _sweep(objects, clock)
        if how == "commit":
            await clinic.create_binary(BINARY, payload)
        else:
            assert await clinic.payloads.receive(pieces(content)) == payload
        clock.ms += SETTLED
        assert await _sweep(objects, clock) == 0
        assert await content_of(clinic, payload) == content


async def test_a_purged_content_goes_and_a_shared_one_stays() -> None:
    """The references of the purged versions go with them."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    payloads = [await clinic.payloads.receive(pieces(content)) for content in (LONG, LARGE)]
    purged = [await clinic.create_binary({**BINARY, "id": "p"}, payload, id="p") for payload in payloads]
    await clinic.create_binary(BINARY, payloads[1])
    assert len(purged) == 2
    await hurry(purge(CLINIC.resource("Binary", "p"), by="a", context=context(objects)), objects, clock)
    assert len([key for key in await keys_below(objects, "binary/") if "/refs/" in key]) == 1
    clock.ms += DAY
    await _sweep(objects, clock)
    clock.ms += SETTLED
    assert await _sweep(objects, clock) == 1
    assert await content_of(clinic, payloads[1]) == LARGE


async def test_the_reference_of_a_dead_attempt_goes_with_its_events() -> None:
    """Also where its slot was taken over, so that nothing but the event tells of it."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    payload = await clinic.payloads.receive(pieces(LONG))
    made = await clinic.create_binary(BINARY, payload)
    keys = CLINIC.resource("Binary", made.id)
    t = made.last_updated_ms + 1
    for key in (keys.type_event(t, 1, "PUT", "DEAD"), keys.system_event(t, 1, "PUT", "DEAD")):
        await objects.put(key, payload.sha256.encode())
    await objects.put(keys.reference(payload.sha256, 1, "DEAD"), b"")
    clock.ms += SETTLED
    report = await hurry(sweep(CLINIC, context=context(objects)), objects, clock)
    assert report.orphans == 1
    (left,) = await keys_below(objects, f"binary/{payload.sha256}/refs/")
    assert not left.endswith("DEAD")


async def test_an_upload_that_died_leaves_nothing() -> None:
    """Before its entry, between its entry and its end, and as the loser of a race."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    names = [clinic.payloads.new_object() for _ in range(3)]
    await objects.create_upload(clinic.payloads.key(names[0]))
    upload = await objects.create_upload(clinic.payloads.key(names[1]))
    await objects.put_part(clinic.payloads.key(names[1]), upload, 1, LONG)
    dead = Payload(sha256(b"dead"), 4, names[1])
    await drive(arrive(CLINIC, dead, context=context(objects)), objects)
    loser = Payload(sha256(LONG), len(LONG), names[2])
    await drive(arrive(CLINIC, loser, context=context(objects)), objects)
    await objects.put(clinic.payloads.key(names[2]), LONG)
    await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG)))
    clock.ms += DAY
    assert await _sweep(objects, clock) == 2
    clock.ms += SETTLED
    assert await hurry(sweep_uploads(CLINIC, context=context(objects)), objects, clock) == 1
    assert len(await keys_below(objects, "binary/payload/")) == 1
    assert (await objects.list_uploads("clinic/")).uploads == ()


async def test_a_pass_is_bounded_and_the_next_goes_on() -> None:
    """A page at a time it comes to the end, and begins anew; references on another page count."""
    clock = HandClock()
    objects = MemoryStore(clock)
    clinic = _clinic(objects)
    kept = [await clinic.payloads.receive(pieces(LONG[n:])) for n in range(6)]
    for payload in kept[:3]:
        for _ in range(3):
            await clinic.create_binary(BINARY, payload)
    pace = PayloadPace(pages=1, page=2)
    for _ in range(2):
        clock.ms += DAY
        for _ in range(20):
            await _sweep(objects, clock, pace)
    assert len(await keys_below(objects, "binary/payload/")) == 3
    for payload in kept[:3]:
        await clinic.payloads.verify(payload)


async def test_what_is_in_order_costs_a_listing() -> None:
    """No GET per content that is referred to, nor per one that is gone."""
    clock = HandClock()
    objects = MeteredStore(MemoryStore(clock))
    clinic = _clinic(objects)
    for n in range(5):
        await clinic.create_binary(BINARY, await clinic.payloads.receive(pieces(LONG[n:])))
        await clinic.payloads.receive(pieces(LONG[n + 10 :]))
    for wait in (DAY, SETTLED):
        clock.ms += wait
        await _sweep(objects, clock)
    clock.ms += DAY
    with objects.measure() as cost:
        assert await _sweep(objects, clock) == 0
    assert cost.requests == {"GET": 1, "LIST": 1}
