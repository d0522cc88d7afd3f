"""What servers and workers do to a store, all kinds of it, once."""

from __future__ import annotations

from pathlib import Path

import httpx

from fhirstore.commit.purge import purge
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.probe.run import probe
from fhirstore.store import FhirStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.sweep.payloads import sweep_payloads
from fhirstore.upkeep.sweep.run import sweep
from server.app import create_app
from server.settings import Settings
from tests.commit.hurried import HandClock, hurry
from tests.server.export.exporting import begun, working
from tests.server.export.exporting import finished as exported
from tests.server.serving import FHIR_JSON
from tests.submit.providing import Folder, finished, options, patient, request
from tests.upkeep.sweep.attempts import KEYS, SETTLED, context, die, put
from tests.uploads.contents import LONG, pieces, with_data


async def serve(objects: ObjectStore, folder: Path) -> None:
    """What a server does, jobs included: interactions of every kind, a large Binary, an export, a submission."""
    await probe(objects)
    settings = Settings()
    submitting = options(folder)
    async with working(settings, objects, submit_options=submitting) as store:
        transport = httpx.ASGITransport(create_app(store, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            await _interact(client)
            where = await begun(client)
            assert (await exported(client, where)).status_code == 200
            assert (await client.delete(where)).is_success
        clinic = store.tenant("default")
        source = Folder(folder).patients("one", [patient("s")])
        await clinic.submissions.submit(request(source, status="completed"))
        await finished(clinic)
        for _ in range(3):  # the third copy of the index removes the first
            assert await clinic.upkeep.search_index.save() is not None


async def _interact(client: httpx.AsyncClient) -> None:
    base = "/fhir"
    known = {"resourceType": "Patient", "id": "a", "identifier": [{"system": "urn:s", "value": "1"}]}

    async def sent(method: str, path: str, body: object = None, **headers: str) -> None:
        answer = await client.request(method, base + path, json=body, headers={**FHIR_JSON, **headers})
        assert answer.is_success, answer.text

    await sent("PUT", "/Patient/a", known)
    await sent("PUT", "/Patient/a", {**known, "identifier": [{"system": "urn:s", "value": "2"}]})
    for path in ("/Patient?identifier=1", "/Patient?identifier=urn:s|2", "/Patient/a", "/Patient/a/_history/1"):
        await sent("GET", path)
    for path in ("/_history", "/Patient/_history", "/Patient/a/_history", "/metadata", "/$jobs"):
        await sent("GET", path)
    new = {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "3"}]}
    await sent("POST", "/Patient", new, **{"If-None-Exist": "identifier=urn:s|3"})
    patch = [{"op": "add", "path": "/active", "value": True}]
    await sent("PATCH", "/Patient/a", patch, **{"Content-Type": "application/json-patch+json"})
    entries = [{"resource": new, "request": {"method": "POST", "url": "Patient"}}] * 2
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    await sent("POST", "", bundle, **{"Idempotency-Key": "once"})
    await sent("PUT", "/Binary/b", with_data(b"large" * 300_000, id="b"))
    await sent("DELETE", "/Patient?identifier=urn:s|2")


async def look_after(objects: ObjectStore, clock: HandClock) -> None:
    """What a worker and an administrator's `$purge` remove: orphans, contents without references, purged resources."""
    for n in range(2):
        await put(objects, clock, "a")
        await put(objects, clock, f"p{n}", type="Patient")
    await die(objects, "a")
    clinic = FhirStore(PrefixTenancy(objects, None), inline_bytes=1_000).tenant("t")
    await clinic.payloads.receive(pieces(LONG))
    clock.ms += SETTLED
    await hurry(sweep(KEYS, context=context(objects)), objects, clock)
    for _ in range(2):
        clock.ms += 2 * 86_400_000
        await hurry(sweep_payloads(KEYS, context=context(objects)), objects, clock)
    await hurry(purge(KEYS.resource("Patient", "p0"), by="admin", context=context(objects)), objects, clock)
