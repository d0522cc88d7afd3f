"""What a submission costs in requests: the bookkeeping is per segment, not per line."""

from __future__ import annotations

from pathlib import Path

from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.store import FhirStore
from fhirstore.submit.lines import Bounds
from fhirstore.tenancy import PrefixTenancy
from tests.submit.providing import Folder, finished, options, patient, request, working


async def test_a_new_resource_costs_at_most_4_1_puts_in_all(tmp_path: Path) -> None:
    """4 of them are the version; jobs, plans, raw lines, results and outcomes share the rest. And 1 GET for each."""
    count = 1_000
    manifest = Folder(tmp_path).patients("all", [patient(f"p{n}") for n in range(count)])
    objects = MeteredStore(MemoryStore())
    store = FhirStore(
        PrefixTenancy(objects, frozenset(["default"])),
        submit_options=options(tmp_path, bounds=Bounds(lines=500)),
    )
    clinic = store.tenant("default")
    await clinic.submissions.submit(request(manifest, status="completed"))
    before = objects.totals.requests.copy()
    async with working(store):
        status = await finished(clinic)
    assert status.manifests[0].counts.created == count
    spent = {verb: number - before.get(verb, 0) for verb, number in objects.totals.requests.items()}
    assert 4 * count <= spent["PUT"] <= 4.1 * count
    assert spent["GET"] <= 1.1 * count
