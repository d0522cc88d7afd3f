"""A source with everything that a tenant may have, targets, and what must be the same in both."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore import CopyOptions, CopyReport, FhirStore, TenantStore
from fhirstore.clock import SystemIds
from fhirstore.commit.limits import Context, Limits
from fhirstore.history.page import HistoryQuery
from fhirstore.objects.base import ObjectStore
from fhirstore.objects.folders import list_all
from fhirstore.objects.memory import MemoryStore
from fhirstore.tenancy import BucketTenancy, Place, PrefixTenancy, Tenancy
from fhirstore.upkeep.fsck.run import Thoroughness
from tests.commit.hurried import HandClock

TENANT = "clinic"
MINUTE = 60_000
QUICK = CopyOptions(at_once=8)


@dataclass
class Side:
    """A store of one tenant on a clock that the test moves; `bucket`: the tenant has no prefix."""

    clock: HandClock
    objects: ObjectStore = field(init=False)
    bucket: bool = False
    given: ObjectStore | None = None

    def __post_init__(self) -> None:
        self.objects = self.given or MemoryStore(self.clock)
        tenancy: Tenancy = PrefixTenancy(self.objects, None)
        if self.bucket:
            tenancy = BucketTenancy({TENANT: self.objects})
        self.store = FhirStore(tenancy, inline_bytes=1_000)

    @property
    def clinic(self) -> TenantStore:
        return self.store.tenant(TENANT)

    @property
    def place(self) -> Place:
        return self.store.tenancy.place(TENANT)

    @property
    def context(self) -> Context:
        return Context(self.objects.now, SystemIds(), Limits())

    async def keys(self) -> list[str]:
        """All keys of the tenant, below its prefix, in order."""
        prefix = self.place.keys.prefix
        found = [item.key.removeprefix(prefix) async for item in list_all(self.objects, prefix)]
        return sorted(key for key in found if not key.startswith("_"))


def patient(id: str, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": id, "identifier": [{"system": "urn:mrn", "value": id}], **more}


async def fill(side: Side, *, patients: int = 12) -> None:
    """Versions, tombstones, a purged resource, transactions, a receipt, payloads, runs; all settled."""
    clinic = side.clinic
    for n in range(patients):
        await clinic.update(patient(f"p{n}"))
        side.clock.ms += 7
        for m in range(n % 4):
            await clinic.update(patient(f"p{n}", gender="other", birthDate=f"198{m}"))
            side.clock.ms += 7
    await clinic.delete("Patient", "p1")
    await clinic.delete("Patient", "p2")
    await clinic.update(patient("p2", active=True))
    await transact(clinic, "tx-a", "tx-b")
    await clinic.create({"resourceType": "Binary", "contentType": "text/plain", "data": "QUFB" * 2_000})
    writer = clinic.runs("raw").writer({"day": "1"}, run_id="one")
    async with writer as run:
        await run.write(b'{"a":1}')
        await run.write(b'{"a":2}')
        await run.finalize()
    side.clock.ms += MINUTE
    await clinic.upkeep.purge("Patient", "p3", by="tester")
    side.clock.ms += MINUTE


async def transact(clinic: TenantStore, *ids: str) -> None:
    """Puts these patients in one transaction."""
    entries: list[object] = [
        {"resource": patient(id_), "request": {"method": "PUT", "url": f"Patient/{id_}"}} for id_ in ids
    ]
    await clinic.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})


async def copy(source: Side, target: Side, options: CopyOptions = QUICK) -> CopyReport:
    return await source.store.copy_to(target.store, TENANT, options=options)


async def histories(clinic: TenantStore) -> list[object]:
    """Every entry of the histories of the tenant and of a type, and the bytes of each version by vread."""
    found: list[object] = []
    for type_ in (None, "Patient"):
        async for each in clinic.history(type_, query=HistoryQuery(count=5)):
            found.append((type_, each.type, each.id, each.version_id, each.method, each.last_updated_ms, each.content))
            if not each.deleted:
                assert (await clinic.vread(each.type, each.id, each.version_id)).content == each.content
    return found


async def checked(side: Side) -> int:
    """The number of damages that a deep fsck finds; beside them there may only be dead entries of the index."""
    side.clock.ms += MINUTE
    report = await side.clinic.upkeep.fsck(Thoroughness(deep=True))
    assert report.counts.keys() <= {"index-entry-dead"}, report.findings
    return report.damage


async def committed(side: Side) -> dict[str, bytes]:
    """All objects that a copy must have, byte for byte; entries of payloads without their nonce."""
    kept = ("resources/", "history/", "identity/", "audit/", "runs/", "binary/", "tx/")
    found: dict[str, bytes] = {}
    for key in await side.keys():
        if not key.startswith(kept) or key.endswith((".claim", "/entry.json")):
            continue
        found[key] = (await side.objects.get(side.place.keys.prefix + key)).body
    return found
