"""A10: a version in an archive class is told from a damaged one, and nothing that can do without it needs it."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore, HistoryQuery, TenantStore, Thoroughness
from fhirstore.commit.drive import drive
from fhirstore.errors import NotFound, ObjectArchived
from fhirstore.export.snapshot import Damaged, versions_at
from fhirstore.format.record import Record
from fhirstore.history.remembered import RememberedHistories
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.metered import MeteredStore
from fhirstore.tenancy import PrefixTenancy
from fhirstore.upkeep.fsck.run import FsckReport, fsck
from tests.archive import ArchivingStore
from tests.commit.hurried import HandClock, hurry

DAY = 86_400_000


class Clinic:
    """A tenant whose bucket has an archive. Patient a has versions 1 to 5, a day apart; Patient b has one."""

    def __init__(self) -> None:
        self.clock = HandClock(1_700_000_000_000)
        self.bucket = ArchivingStore(MemoryStore(self.clock))
        self.objects = MeteredStore(self.bucket)
        self.store = FhirStore(PrefixTenancy(self.objects, None))
        self.times: list[int] = []

    @property
    def tenant(self) -> TenantStore:
        return self.store.tenant("default")

    async def fsck(self, how: Thoroughness | None = None) -> FsckReport:
        """Checks the tenant; its waits pass at once."""
        place = self.tenant._place
        return await hurry(
            fsck(place.keys, context=self.store._engine.context(place), how=how), self.objects, self.clock
        )

    async def fill(self) -> None:
        await self.tenant.update({"resourceType": "Patient", "id": "b", "identifier": [{"value": "1"}]})
        for number in range(1, 6):
            self.clock.ms += DAY
            version = await self.tenant.update({"resourceType": "Patient", "id": "a", "language": f"x-{number}"})
            self.times.append(version.last_updated_ms)
        self.clock.ms += DAY


@pytest.fixture
async def clinic() -> Clinic:
    made = Clinic()
    await made.fill()
    return made


async def test_a10_the_current_version_needs_no_slot(clinic: Clinic) -> None:
    """A vread of the current version shows it from current.json, with no request more."""
    await clinic.bucket.archive("/_history/")
    with clinic.objects.measure() as measured:
        version = await clinic.tenant.vread("Patient", "a", 5)
    assert (version.version_id, b"x-5" in version.content) == (5, True)
    assert measured.requests == {"GET": 2}


async def test_a10_an_older_version_is_refused_by_name(clinic: Clinic) -> None:
    """The error says which version it is and which command brings it back; one that never was is still not found."""
    await clinic.bucket.archive("/_history/")
    with pytest.raises(ObjectArchived) as caught:
        await clinic.tenant.vread("Patient", "a", 3)
    assert "fhirstore restore Patient/a/_history/3" in caught.value.told
    with pytest.raises(NotFound):
        await clinic.tenant.vread("Patient", "a", 6)


async def test_a10_writes_go_on_over_archived_versions(clinic: Clinic) -> None:
    """A write builds on current.json alone."""
    await clinic.bucket.archive("/_history/")
    written = await clinic.tenant.update({"resourceType": "Patient", "id": "a", "language": "x-6"})
    assert written.version_id == 6
    assert (await clinic.tenant.vread("Patient", "a", 6)).version_id == 6


async def test_a10_the_history_of_a_resource_ends_a_page_before_the_archive(clinic: Clinic) -> None:
    """What can be read is shown; the next page is refused; once restored it goes on from there."""
    await clinic.bucket.archive("/a/_history/1.json")
    await clinic.bucket.archive("/a/_history/2.json")
    page = await clinic.tenant.history_page("Patient", "a")
    assert [version.version_id for version in page.versions] == [5, 4, 3]
    assert page.total == 5
    with pytest.raises(ObjectArchived) as caught:
        await clinic.tenant.history_page("Patient", "a", cursor=page.next)
    assert caught.value.key.endswith("/a/_history/2.json")
    clinic.bucket.archived.clear()
    rest = await clinic.tenant.history_page("Patient", "a", cursor=page.next)
    assert [version.version_id for version in rest.versions] == [2, 1]


@pytest.mark.parametrize("type_", ["Patient", None])
@pytest.mark.parametrize("swept", [False, True])
async def test_a10_the_history_of_all_shows_current_versions_from_current_json(
    clinic: Clinic, type_: str | None, *, swept: bool
) -> None:
    """Where every slot is archived, current versions are shown and the page ends before the first older one, whether
    the events are judged by current.json or trusted below the watermark."""
    if swept:
        await clinic.tenant.upkeep.sweep()
        clinic.store._engine.remembered_histories = RememberedHistories()
    await clinic.bucket.archive("/_history/")
    page = await clinic.tenant.history_page(type_)
    assert [(version.id, version.version_id) for version in page.versions] == [("a", 5)]
    with pytest.raises(ObjectArchived) as caught:
        await clinic.tenant.history_page(type_, cursor=page.next)
    assert caught.value.key.endswith("/a/_history/4.json")
    oldest = await clinic.tenant.history_page(type_, query=HistoryQuery(oldest_first=True))
    assert [(version.id, version.version_id) for version in oldest.versions] == [("b", 1)]


async def test_a10_a_history_without_archived_versions_costs_the_same(clinic: Clinic) -> None:
    """Nothing is asked twice where nothing is archived."""
    with clinic.objects.measure() as measured:
        page = await clinic.tenant.history_page("Patient")
    assert len(page.versions) == 6
    assert measured.requests["GET"] <= 1 + 6 + 1


async def test_a10_a_snapshot_tells_an_archived_version_from_a_damaged_one(clinic: Clinic) -> None:
    """A version that is archived is told; one that can be read is found although older ones are archived."""
    keys, limits = clinic.tenant._place.keys.resource("Patient", "a"), clinic.store._engine.limits
    await clinic.bucket.archive("/a/_history/1.json")
    await clinic.bucket.archive("/a/_history/2.json")
    found = [
        (await drive(versions_at([keys], at, limits=limits), clinic.objects))[0]
        for at in (clinic.times[0] - 1, clinic.times[0], clinic.times[1], clinic.times[2], clinic.times[3])
    ]
    assert all(isinstance(one, Damaged) and one.archived for one in found[:3])
    assert [one.version for one in found[3:] if isinstance(one, Record)] == [3, 4]


async def test_a10_fsck_counts_archived_versions_and_finds_no_damage(clinic: Clinic) -> None:
    """Neither the usual check nor the deep one, which may repair: nothing changes."""
    await clinic.tenant.upkeep.sweep()
    await clinic.bucket.archive("/_history/")
    for how in (Thoroughness(), Thoroughness(deep=True, repair=True)):
        report = await clinic.fsck(how)
        assert (report.counts, report.damage, report.archived) == ({}, 0, 6)
    clinic.bucket.archived.clear()
    assert (await clinic.fsck(Thoroughness(deep=True))).versions == 6


async def test_a10_a_sweep_passes_archived_versions(clinic: Clinic) -> None:
    """A sweeper that was away for long leaves their events, and gets to the end."""
    await clinic.bucket.archive("/_history/")
    report = await clinic.tenant.upkeep.sweep()
    assert (report.outcome, report.orphans, report.unclear) == ("swept", 0, 0)
    clinic.bucket.archived.clear()
    assert len((await clinic.tenant.history_page("Patient")).versions) == 6


async def test_a10_a_purge_removes_archived_versions(clinic: Clinic) -> None:
    """The bytes go at once; what was beside them, which the versions alone name, is found and removed by fsck."""
    await clinic.bucket.archive("/a/_history/")
    await clinic.tenant.upkeep.purge("Patient", "a", by="operator")
    page = await clinic.bucket.list("default/resources/Patient/a/")
    assert [one.key for one in page.objects] == ["default/resources/Patient/a/current.json"]
    await clinic.fsck(Thoroughness(repair=True))
    again = await clinic.fsck()
    assert again.counts == {}
