"""When events cannot be stored, nothing is done that would not be told; storing them costs few requests."""

from __future__ import annotations

import asyncio

import pytest

from fhirstore.errors import StoreUnavailable
from fhirstore.objects.base import Condition, Written
from fhirstore.objects.facts import Facts
from fhirstore.objects.memory import MemoryStore
from server.auditing import audit as module
from server.settings import Settings
from tests.server.auditing.audited import audited, interaction
from tests.server.serving import FHIR_JSON

PATIENT = b'{"resourceType":"Patient","id":"p1"}'


class NoTrail(MemoryStore):
    """A store that takes no segment of the audit trail while it is `down`."""

    down = False

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        condition: Condition | None = None,
        expires: int | None = None,
        facts: Facts | None = None,
    ) -> Written:
        if self.down and "auditlog/" in key:
            raise StoreUnavailable(key, "down")
        return await super().put(key, body, condition=condition, expires=expires, facts=facts)


async def test_without_room_a_request_is_refused_before_it_does_anything() -> None:
    """503, and nothing is stored; what shows no data is answered. When the trail is written again, all goes on."""
    store = NoTrail()
    async with audited(objects=store) as one:
        store.down = True
        one.audit._held.most = 5_000
        for n in range(5):
            assert (await one.client.get(f"/fhir/Patient/{n}")).status_code == 404
        before = set(store._objects)
        refused = await one.client.put("/fhir/Patient/p1", content=PATIENT, headers=FHIR_JSON)
        assert refused.status_code == 503 and "audit" in refused.json()["issue"][0]["diagnostics"]
        assert refused.headers["Retry-After"] and set(store._objects) == before
        assert one.audit._held.used == 5_000, "the event of what was refused is counted, not kept"
        assert (await one.client.get("/fhir/metadata")).status_code == 200
        store.down = False
        events = await one.events()
        assert len(events) >= 5
        assert (await one.client.put("/fhir/Patient/p1", content=PATIENT, headers=FHIR_JSON)).status_code == 201


async def test_a_flood_of_refused_requests_fills_no_memory() -> None:
    """Their events are counted, and not kept, where there is no room: also before a token is known to be good."""
    store = NoTrail()
    settings = Settings(auth="smart", audit="store")
    async with audited(settings, objects=store) as one:
        store.down = True
        one.audit._held.most = 5_000
        for n in range(30):
            assert (await one.client.get(f"/fhir/Patient/{n}")).status_code == 401
        assert one.audit._held.used == 5_000
        lost = {metric.name: value for metric, _, value in one.audit.gauges()}
        assert lost["fhirstore_audit_lost_events_total"] == 25
        store.down = False
        assert len(await one.events(None)) == 5


async def test_events_are_dropped_only_where_the_settings_say_so() -> None:
    """Then requests go on; metric and trail tell how many were lost."""
    store = NoTrail()
    async with audited(Settings(audit="store", audit_full="drop"), objects=store) as one:
        store.down = True
        one.audit._held.most = 5_000
        for n in range(12):
            assert (await one.client.get(f"/fhir/Patient/{n}")).status_code == 404
        lost = {metric.name: value for metric, _, value in one.audit.gauges()}
        assert lost["fhirstore_audit_lost_events_total"] == 7
        store.down = False
        assert len(await one.events()) == 5
        assert (await one.store.audit_trail("default").verify()).lost == 7


async def test_with_sync_an_answer_means_that_the_event_is_stored() -> None:
    """The segment is there before the answer; requests at the same time share one."""
    async with audited(Settings(audit="store", audit_sync=True)) as one:
        assert (await one.client.get("/fhir/Patient/x")).status_code == 404
        trail = one.store.audit_trail("default")
        assert len([event async for event in trail.events()]) == 1
        before = dict(one.meter.totals.requests)
        await asyncio.gather(*[one.client.get(f"/fhir/Patient/{n}") for n in range(50)])
        assert one.meter.totals.requests["PUT"] - before["PUT"] <= 3
        assert len([event async for event in trail.events()]) == 51


async def test_with_sync_an_event_that_is_not_stored_in_time_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that the request was done."""
    monkeypatch.setattr(module, "_PATIENCE", 0.2)
    store = NoTrail()
    async with audited(Settings(audit="store", audit_sync=True), objects=store) as one:
        store.down = True
        answer = await one.client.put("/fhir/Patient/p1", content=PATIENT, headers=FHIR_JSON)
        assert answer.status_code == 503 and "It was done" in answer.json()["issue"][0]["diagnostics"]
        store.down = False
        assert [interaction(event) for event in await one.events()] == ["update"]


async def test_a_read_costs_its_get_and_no_more() -> None:
    """A hundred reads: a hundred GET; the segment is one PUT more for all of them, and one LIST per process."""
    async with audited() as one:
        await one.client.put("/fhir/Patient/p1", content=PATIENT, headers=FHIR_JSON)
        await one.events()
        before = dict(one.meter.totals.requests)
        for _ in range(100):
            await one.client.get("/fhir/Patient/p1")
        assert one.meter.totals.requests["GET"] - before["GET"] == 100
        assert one.meter.totals.requests["PUT"] == before["PUT"]
        await one.audit.close()
        after = one.meter.totals.requests
        assert after["PUT"] - before["PUT"] == 2 and after["LIST"] - before["LIST"] == 1  # and the final one


async def test_many_tenants_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writers that were not used for longest are closed; their chains are whole, and ended."""
    monkeypatch.setattr(module, "_MOST_WRITERS", 2)
    async with audited(Settings(audit="store", tenants=None, tenant_source="header")) as one:
        for n in range(6):
            await one.client.get("/fhir/Patient/x", headers={"X-Tenant-ID": f"t{n % 5}"})
            assert len(one.audit._writers) <= 2
        await one.audit.close()
        for n, events in enumerate((2, 1, 1, 1, 1)):
            report = await one.store.audit_trail(f"t{n}").verify()
            assert report.ok and (report.open, report.events) == (0, events)


async def test_who_names_no_tenant_is_told_of_in_a_trail_of_its_own() -> None:
    """A tenant that does not exist is none."""
    async with audited(Settings(audit="store", tenant_source="header")) as one:
        await one.client.get("/fhir/Patient/x", headers={"X-Tenant-ID": "nobody"})
        assert [event["outcomeDesc"] for event in await one.events(None)] == ["HTTP 404"]
