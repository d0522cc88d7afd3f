"""What is in an export, on a real store: levels, filters, deletions, Provenance, blocks, pages; and its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from fhirstore import ExportOptions, ExportRequest, FhirStore, Gone, InvalidResource, NotFound, TenantStore, TooManyJobs
from fhirstore.commit.limits import Limits
from fhirstore.export.request import LATEST, RELEVANT, Level
from fhirstore.jobs.limits import JobLimits
from fhirstore.objects.memory import MemoryStore
from fhirstore.objects.wrappers.passing_on import PassingOn
from fhirstore.tenancy import PrefixTenancy
from tests.export.reading import HURRIED, deletions, ended, exported, exported_ids, lines, outcomes, output, worker


@pytest.fixture
async def store() -> AsyncIterator[FhirStore]:
    async with FhirStore.open("memory:", limits=HURRIED) as opened:
        yield opened


@pytest.fixture
async def clinic(store: FhirStore) -> TenantStore:
    return store.tenant("default")


async def put(clinic: TenantStore, *resources: dict[str, object]) -> None:
    """Stores these under their ids."""
    for resource in resources:
        await clinic.update(resource)


def patient(id: str, **more: object) -> dict[str, object]:
    return {"resourceType": "Patient", "id": id, **more}


def observation(id: str, subject: str, **more: object) -> dict[str, object]:
    code = {"coding": [{"system": "urn:c", "code": "c"}]}
    subject_ = {"reference": subject}
    return {"resourceType": "Observation", "id": id, "status": "final", "code": code, "subject": subject_, **more}


def group(id: str, *members: str) -> dict[str, object]:
    listed = [{"entity": {"reference": member}} for member in members]
    return {
        "resourceType": "Group",
        "id": id,
        "type": "person",
        "actual": True,
        **({"member": listed} if members else {}),
    }


def provenance(id: str, *targets: str, recorded: str = "2024-01-01T00:00:00Z") -> dict[str, object]:
    return {
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": target} for target in targets],
        "recorded": recorded,
        "agent": [{"who": {"display": "x"}}],
    }


async def test_the_whole_system_is_exported_as_it_is_stored(store: FhirStore, clinic: TenantStore) -> None:
    """Each line has the bytes that a read returns; deleted resources, and those of the server itself, are not there."""
    await put(clinic, patient("a", extension=[{"url": "urn:x", "valueDecimal": 1.5}]), patient("b"))
    await put(clinic, {"resourceType": "Organization", "id": "o", "name": "line\nbreak"})
    await clinic.delete("Patient", "b")
    receipt = {"resourceType": "Bundle", "type": "batch", "entry": []}
    await clinic.process(receipt)
    id_, manifest = await exported(store, ExportRequest())
    expected = [await clinic.read("Patient", "a"), await clinic.read("Organization", "o")]
    assert set(await output(clinic, id_, manifest)) == {version.content for version in expected}
    assert (manifest.deleted, manifest.error) == ((), ())
    assert {file.type for file in manifest.output} == {"Patient", "Organization"}


async def test_later_changes_are_not_in_it(store: FhirStore, clinic: TenantStore) -> None:
    """What is created, changed or deleted after the kick-off is exported as it was at the kick-off."""
    await put(clinic, patient("a", gender="male"), patient("b"))
    before = (await clinic.read("Patient", "a")).content
    started = await clinic.exports.start(ExportRequest())
    await asyncio.sleep(0.05)
    await put(clinic, patient("a", gender="female"), patient("a", gender="other"), patient("c"))
    await clinic.delete("Patient", "b")
    async with worker(store):
        manifest = (await ended(clinic, started.id)).manifest
    assert manifest is not None
    found = await output(clinic, started.id, manifest)
    assert before in found
    assert sorted(msgspec.json.decode(line)["id"] for line in found) == ["a", "b"]


class _Estimating(PassingOn):
    """A bucket whose clock this process takes for `off` ms later than it is."""

    off = 0

    @property
    def clock_error(self) -> int:
        return 500

    def now(self) -> int:
        return self.inner.now() + self.off


async def test_what_was_acknowledged_before_the_kick_off_is_in_it() -> None:
    """Also where the writer took the bucket's clock for half a second ahead, the kick-off for half a second behind."""
    objects = _Estimating(MemoryStore())
    store = FhirStore(PrefixTenancy(objects, frozenset({"default"})), limits=HURRIED)
    clinic = store.tenant("default")
    objects.off = 500
    await put(clinic, patient("a"))
    objects.off = -500
    _, manifest = await exported(store, ExportRequest())
    assert [file.count for file in manifest.output] == [1]
    await store.settle()


async def test_files_are_bounded_by_bytes_and_count() -> None:
    """A resource that is larger than a file may be has a file of its own."""
    options = ExportOptions(part_bytes=1_000, part_count=3)
    async with FhirStore.open("memory:", limits=HURRIED, export_options=options) as store:
        clinic = store.tenant("default")
        await put(clinic, *[patient(f"p{number}") for number in range(10)])
        await put(clinic, patient("large", name=[{"text": "x" * 2_000}]))
        _, manifest = await exported(store, ExportRequest())
    assert sum(file.count for file in manifest.output) == 11
    assert max(file.count for file in manifest.output) == 3
    assert [file.count for file in manifest.output if file.size > 1_000] == [1]
    assert len({file.name for file in manifest.output}) == len(manifest.output)


async def test_a_chain_of_exports_tiles(store: FhirStore, clinic: TenantStore) -> None:
    """The second has what changed since the first, and tells what was deleted; `_since` itself is excluded."""
    await put(clinic, patient("a"), patient("b"), patient("c"))
    _, first = await exported(store, ExportRequest(types=["Patient"]))
    await put(clinic, patient("a", gender="male"), patient("d"), patient("e"))
    await clinic.delete("Patient", "b")
    await clinic.delete("Patient", "e")
    id_, second = await exported(store, ExportRequest(types=["Patient"], since=first.transaction_time))
    ids = sorted(msgspec.json.decode(line)["id"] for line in await output(clinic, id_, second))
    assert ids == ["a", "d"]
    assert set(await deletions(clinic, id_, second)) == {"Patient/b", "Patient/e"}
    last = (await clinic.read("Patient", "d")).last_updated_ms
    bounds = [{"since": last}, {"since": last - 1}, {"until": last}, {"until": last + 1}]
    found = await exported_ids(store, *[ExportRequest(types=["Patient"], **bound) for bound in bounds])  # type: ignore[arg-type]
    assert ["Patient/d" in ids for ids in found] == [False, True, False, True]


async def test_types_are_filtered_independently(store: FhirStore, clinic: TenantStore) -> None:
    """Several filters of a type are alternatives; a type without one is exported whole."""
    await put(clinic, patient("a", active=True), patient("b", active=False))
    await put(clinic, observation("x", "Patient/a"), observation("y", "Patient/b", status="amended"))
    await put(clinic, observation("z", "Patient/b", status="cancelled"))
    filters = ["Observation?status=final&code=urn:c|c", "Observation?status=amended"]
    (found,) = await exported_ids(store, ExportRequest(types=["Patient", "Observation"], type_filters=filters))
    assert found == ["Observation/x", "Observation/y", "Patient/a", "Patient/b"]


async def test_elements_keep_what_is_mandatory(store: FhirStore, clinic: TenantStore) -> None:
    """And the tag says that the resource is not whole."""
    await put(clinic, observation("x", "Patient/a", note=[{"text": "n"}], valueString="v"))
    id_, manifest = await exported(store, ExportRequest(elements=["Observation.value"]))
    (line,) = await output(clinic, id_, manifest)
    resource = msgspec.json.decode(line)
    assert set(resource) == {"resourceType", "id", "meta", "status", "code", "valueString"}
    tag = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"}
    assert resource["meta"]["tag"] == [tag]


async def test_patient_level_exports_compartments(store: FhirStore, clinic: TenantStore) -> None:
    """Of all patients, or of those that are asked for; what belongs to no patient is not there."""
    await put(clinic, patient("a"), patient("b", link=[{"other": {"reference": "Patient/a"}, "type": "seealso"}]))
    await put(clinic, observation("x", "Patient/a"), observation("y", "Patient/b"), observation("z", "Group/g"))
    await put(clinic, {"resourceType": "Organization", "id": "o"})
    with pytest.raises(InvalidResource, match="Patient/nobody"):
        await clinic.exports.start(ExportRequest(level="patient", patients=["a", "nobody"]))
    everyone, one, nobody = await exported_ids(
        store,
        ExportRequest(level="patient"),
        ExportRequest(level="patient", patients=["Patient/a"]),
        ExportRequest(level="patient", patients=["nobody"], lenient=True),
    )
    assert everyone == ["Observation/x", "Observation/y", "Patient/a", "Patient/b"]
    assert one == ["Observation/x", "Patient/a"]
    assert nobody == []


async def test_group_level_exports_the_members(store: FhirStore, clinic: TenantStore) -> None:
    """Those of nested groups, too; not those who are inactive; an empty group has none, and exports nothing."""
    await put(clinic, *[patient(id_) for id_ in "abcd"], *[observation(f"o{id_}", f"Patient/{id_}") for id_ in "abcd"])
    await put(clinic, group("inner", "Patient/b", "Group/outer"), group("empty"))
    inactive = {"entity": {"reference": "Patient/c"}, "inactive": True}
    outer = group("outer", "Patient/a", "Group/inner", "Group/none")
    outer["member"] = [*outer["member"], inactive]  # type: ignore[misc]
    await put(clinic, outer)
    with pytest.raises(NotFound):
        await clinic.exports.start(ExportRequest(level="group", group="nobody"))
    with pytest.raises(InvalidResource, match="not in the Group"):
        await clinic.exports.start(ExportRequest(level="group", group="outer", patients=["d"]))
    found, none, one = await exported_ids(
        store,
        ExportRequest(level="group", group="outer", types=["Patient", "Observation"]),
        ExportRequest(level="group", group="empty"),
        ExportRequest(level="group", group="outer", types=["Observation"], patients=["b"]),
    )
    assert found == ["Observation/oa", "Observation/ob", "Patient/a", "Patient/b"]
    assert none == []
    assert one == ["Observation/ob"]
    await clinic.delete("Group", "empty")
    with pytest.raises(Gone):
        await clinic.exports.start(ExportRequest(level="group", group="empty"))


async def test_members_are_those_at_the_kick_off(store: FhirStore, clinic: TenantStore) -> None:
    """Whatever becomes of the Group while the export waits."""
    await put(clinic, patient("a"), patient("b"), group("g", "Patient/a"))
    started = await clinic.exports.start(ExportRequest(level="group", group="g", types=["Patient"]))
    await asyncio.sleep(0.05)
    await put(clinic, group("g", "Patient/b"))
    async with worker(store):
        manifest = (await ended(clinic, started.id)).manifest
    assert manifest is not None
    assert [msgspec.json.decode(line)["id"] for line in await output(clinic, started.id, manifest)] == ["a"]


async def test_deletions_are_told_of_what_would_be_exported(store: FhirStore, clinic: TenantStore) -> None:
    """In a Group, those of its members; with a filter, those that met it."""
    await put(clinic, patient("a"), patient("b"), group("g", "Patient/a"))
    await put(clinic, observation("x", "Patient/a"), observation("y", "Patient/b"))
    await put(clinic, observation("z", "Patient/a", status="amended"))
    _, first = await exported(store, ExportRequest())
    for id_ in "xyz":
        await clinic.delete("Observation", id_)
    asked = ExportRequest(level="group", group="g", types=["Observation"], since=first.transaction_time)
    id_, manifest = await exported(store, asked)
    assert set(await deletions(clinic, id_, manifest)) == {"Observation/x", "Observation/z"}
    filtered = ExportRequest(
        types=["Observation"], since=first.transaction_time, type_filters=["Observation?status=final"]
    )
    id_, manifest = await exported(store, filtered)
    assert set(await deletions(clinic, id_, manifest)) == {"Observation/x", "Observation/y"}


async def test_provenance_follows_its_targets(store: FhirStore, clinic: TenantStore) -> None:
    """By its rule: of the compartment, of all that is exported, or the latest of each."""
    await put(clinic, patient("a"), patient("b"), observation("x", "Patient/a"), observation("y", "Patient/b"))
    await put(clinic, {"resourceType": "Organization", "id": "o"})
    await put(
        clinic,
        provenance("of-a", "Patient/a"),
        provenance("of-x", "Observation/x", recorded="2024-02-01T00:00:00Z"),
        provenance("of-x-later", "Observation/x", "Observation/y", recorded="2024-03-01T00:00:00+05:00"),
        provenance("of-y", "Observation/y", recorded="2024-04-01T00:00:00Z"),
        provenance("of-o", "Organization/o"),
        provenance("of-nothing", "Observation/none"),
    )

    observations = {"include_associated": [RELEVANT], "types": ["Observation"]}
    cases: list[tuple[dict[str, object], list[str]]] = [
        ({}, ["of-a", "of-nothing", "of-o", "of-x", "of-x-later", "of-y"]),
        ({"types": ["Observation"]}, []),
        ({"level": "patient"}, ["of-a", "of-x", "of-x-later", "of-y"]),
        ({"level": "patient", "patients": ["a"]}, ["of-a", "of-x", "of-x-later"]),
        ({**observations}, ["of-x", "of-x-later", "of-y"]),
        ({**observations, "level": "patient", "patients": ["a"]}, ["of-x", "of-x-later"]),
        ({**observations, "type_filters": ["Observation?subject=Patient/b"]}, ["of-x-later", "of-y"]),
        ({**observations, "include_associated": [LATEST]}, ["of-x-later", "of-y"]),
    ]
    found = await exported_ids(store, *[ExportRequest(**asked) for asked, _ in cases])  # type: ignore[arg-type]
    for ids, (asked, expected) in zip(found, cases, strict=True):
        assert [id_.split("/")[1] for id_ in ids if id_.startswith("Provenance/")] == expected, asked


async def test_blocks_hold_what_belongs_to_a_patient() -> None:
    """Each begins with its header and its patient; one that is larger than a file goes on in the next."""
    options = ExportOptions(part_bytes=1_500)
    async with FhirStore.open("memory:", limits=HURRIED, export_options=options) as store:
        clinic = store.tenant("default")
        await put(clinic, patient("a"), patient("b"), patient("c"), {"resourceType": "Organization", "id": "o"})
        await put(clinic, *[observation(f"a{number}", "Patient/a") for number in range(2)])
        await put(clinic, *[observation(f"b{number}", "Patient/b") for number in range(12)])
        await put(clinic, provenance("pa", "Observation/a0"))
        id_, manifest = await exported(store, ExportRequest(level="patient", organize_by="Patient"))
        files = [
            [msgspec.json.decode(line) for line in await lines(clinic, id_, file.name)] for file in manifest.output
        ]
    assert manifest.organized_by == "Patient"
    assert {file.type for file in manifest.output} == {""}
    blocks: dict[str, list[str]] = {}
    for file in files:
        assert file[0]["resourceType"] == "Parameters"
        for resource in file:
            if resource["resourceType"] == "Parameters":
                (header,) = resource["parameter"]
                block = blocks.setdefault(header["valueReference"]["reference"], [])
            else:
                block.append(f"{resource['resourceType']}/{resource['id']}")
    assert blocks["Patient/a"] == ["Patient/a", "Observation/a0", "Observation/a1", "Provenance/pa"]
    assert sorted(blocks["Patient/b"]) == sorted(["Patient/b", *[f"Observation/b{number}" for number in range(12)]])
    assert blocks["Patient/c"] == ["Patient/c"]
    names = [file.name for file in manifest.output]
    continued = [
        names.index(file.continues_in) - names.index(file.name) for file in manifest.output if file.continues_in
    ]
    assert continued
    assert set(continued) == {1}
    assert all(file.size <= 1_500 for file in manifest.output)


async def test_a_manifest_is_read_in_pages_while_the_export_runs() -> None:
    """Each file is on one page; a page never changes, but for the link to the next one."""
    options = ExportOptions(part_count=2)
    async with FhirStore.open("memory:", limits=HURRIED, export_options=options) as store:
        clinic = store.tenant("default")
        await put(clinic, *[patient(f"p{number}") for number in range(7)])
        id_, first = await exported(store, ExportRequest(types=["Patient"], partial_manifests=True))
        pages = [first]
        while (following := pages[-1].more) is not None:
            pages.append(await clinic.exports.page(id_, following))
        names = [file.name for page in pages for file in page.output]
        assert len(pages) == 4
        assert len(set(names)) == len(names) == 4
        assert {page.transaction_time for page in pages} == {first.transaction_time}
        assert sum([len(await lines(clinic, id_, name)) for name in names]) == 7
        with pytest.raises(NotFound):
            await clinic.exports.page(id_, "5")


async def test_relative_urls_of_attachments_become_absolute(store: FhirStore, clinic: TenantStore) -> None:
    """Those of nothing else; a Binary that belongs to a patient is left to the DocumentReference."""
    attachment = {"contentType": "text/plain", "url": "Binary/b"}
    document: dict[str, object] = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "content": [{"attachment": attachment}, {"attachment": {"url": "https://b/x"}}],
        "extension": [{"url": "urn:x", "valueUrl": "Binary/b"}],
    }
    context = {"securityContext": {"reference": "Patient/a"}}
    await put(clinic, document, {"resourceType": "Binary", "id": "b", "contentType": "text/plain", **context})
    await put(clinic, {"resourceType": "Binary", "id": "public", "contentType": "text/plain"})
    id_, manifest = await exported(store, ExportRequest(base="https://a/fhir/"))
    found = {resource["id"]: resource for resource in map(msgspec.json.decode, await output(clinic, id_, manifest))}
    assert set(found) == {"d", "public"}
    urls = [content["attachment"]["url"] for content in found["d"]["content"]]
    assert urls == ["https://a/fhir/Binary/b", "https://b/x"]
    assert found["d"]["extension"] == document["extension"]


@pytest.mark.parametrize("level", ["system", "patient"])
async def test_what_is_damaged_is_told_and_the_rest_exported(
    level: Level, store: FhirStore, clinic: TenantStore
) -> None:
    """As OperationOutcomes that name it: a record that cannot be read, a resource that is not what was stored."""
    await put(clinic, patient("a"), patient("b"), patient("c", gender="male"))
    objects = clinic._place.objects
    await objects.put("default/resources/Patient/a/current.json", b"{}")
    key = "default/resources/Patient/c/current.json"
    await objects.put(key, (await objects.get(key)).body.replace(b'"male"', b'"mal'))
    id_, manifest = await exported(store, ExportRequest(level=level, types=["Patient"]))
    assert [msgspec.json.decode(line)["id"] for line in await output(clinic, id_, manifest)] == ["b"]
    told = [issue["diagnostics"].partition(":")[0] for issue in await outcomes(clinic, id_, manifest)]
    assert told == ["Patient/a", "Patient/c"]
    assert [file.severities for file in manifest.error] == [{"error": 2}]


async def test_what_was_left_out_is_in_the_errors(store: FhirStore, clinic: TenantStore) -> None:
    """One OperationOutcome for each parameter."""
    await put(clinic, patient("a"))
    asked = ExportRequest(types=["Patient", "Pateint"], elements=["x.y"], lenient=True)
    id_, manifest = await exported(store, asked)
    assert len(await outcomes(clinic, id_, manifest)) == 2
    assert [file.severities for file in manifest.error] == [{"warning": 2}]
    assert [file.count for file in manifest.output] == [1]


async def test_an_export_that_was_cancelled_leaves_nothing(store: FhirStore, clinic: TenantStore) -> None:
    """Before, while and after it ran; its status and its files are not found from then on."""
    await put(clinic, patient("a"))
    waiting = await clinic.exports.start(ExportRequest())
    await clinic.exports.cancel(waiting.id)
    done, manifest = await exported(store, ExportRequest())
    (file,) = manifest.output
    assert (await clinic.exports.file(done, file.name)).size == file.size
    await clinic.exports.cancel(done)
    for id_ in (waiting.id, done):
        with pytest.raises(NotFound):
            await clinic.exports.status(id_)
        with pytest.raises(NotFound):
            await clinic.exports.cancel(id_)
    with pytest.raises(NotFound):
        await lines(clinic, done, file.name)
    await asyncio.sleep(1)
    async with worker(store):
        await asyncio.sleep(0.5)
    left = await clinic._place.objects.list("default/bulk/")
    assert [item.key for item in left.objects] == []


async def test_an_export_waits_until_its_snapshot_is_settled() -> None:
    """And says so; it is queued meanwhile, so that it holds no worker."""
    limits = Limits(window=60_000, transaction_window=60_000)
    async with FhirStore.open("memory:", limits=limits) as store, worker(store):
        clinic = store.tenant("default")
        await put(clinic, patient("a"))
        started = await clinic.exports.start(ExportRequest())
        await asyncio.sleep(0.5)
        status = await clinic.exports.status(started.id)
        assert (status.status, status.manifest) == ("waiting", None)
        assert status.progress.startswith("Waiting 6")
        assert 0 < status.retry_after <= 10
        job = await clinic.jobs.get(started.id)
        progress = await clinic.jobs.progress(job, "Patient")
        assert progress is not None
        assert progress["total"] == 1


async def test_a_tenant_has_so_many_exports_at_once() -> None:
    """Another one is refused until one of them has ended."""
    async with FhirStore.open("memory:", job_limits=JobLimits(running=1, queued=1)) as store:
        clinic = store.tenant("default")
        for _ in range(2):
            await clinic.exports.start(ExportRequest())
        with pytest.raises(TooManyJobs):
            await clinic.exports.start(ExportRequest())


async def test_fsck_knows_the_files_of_exports(store: FhirStore, clinic: TenantStore) -> None:
    """It finds nothing wrong with those of an export that has ended."""
    await put(clinic, patient("a"), patient("b"), group("g", "Patient/a"))
    asked = ExportRequest(level="group", group="g", partial_manifests=True, types=["Patient", "Pateint"], lenient=True)
    await exported(store, asked)
    report = await clinic.upkeep.fsck()
    assert report.findings == ()


async def test_an_empty_store_is_exported(store: FhirStore, clinic: TenantStore) -> None:
    """As a manifest without files."""
    _, manifest = await exported(store, ExportRequest())
    assert manifest.files == ()
