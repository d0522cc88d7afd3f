"""A submission from its first request to its end, on a real store with a real worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fhirstore.errors import FhirError, Gone, ManifestTaken, NotFound, SubmissionEnded, UnknownSubmitter
from fhirstore.objects.base import ObjectStore
from fhirstore.store import FhirStore
from tests.submit.providing import (
    ACME,
    BASE,
    QUICK,
    Folder,
    diagnostics,
    finished,
    options,
    outcomes,
    patient,
    processed,
    request,
    working,
)


async def test_a_submission_of_one_manifest_stores_every_line_under_its_id(tmp_path: Path) -> None:
    """And says so: counts, one informational outcome, nothing refused."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient(f"p{n}") for n in range(50)])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store) as said:
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
        assert not said
        assert status.finished and not status.failure
        assert (status.manifests[0].counts.lines, status.manifests[0].counts.created) == (50, 50)
        assert [(await clinic.read("Patient", f"p{n}")).version_id for n in range(50)] == [1] * 50
        (told,) = await outcomes(clinic, status)
        assert "50 created" in diagnostics(told)


async def test_a_bad_line_is_an_outcome_with_its_file_and_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    """The outcome names the resource of the source where the line says it."""
    folder = Folder(tmp_path)
    lines = [
        patient("a"),
        b"{nonsense",
        patient("b", birthDate="yesterday"),
        b"",
        patient("c"),
        {"resourceType": "Patient"},
    ]
    manifest = folder.patients("some", lines)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
        counts = status.manifests[0].counts
        assert (counts.lines, counts.created, counts.failed) == (5, 2, 3)
        told = await outcomes(clinic, status)
        texts = [diagnostics(one) for one in told]
        assert [text.partition(":")[0] for text in texts[1:4]] == [f"some.ndjson, line {n}" for n in (2, 3, 6)]
        assert told[2]["extension"] == [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource",
                "valueReference": {"reference": f"{BASE}/Patient/b"},
            }
        ]
        assert "6 resources, but it has 5 lines" in texts[0]


async def test_a_stopped_submission_leaves_what_was_there_before(tmp_path: Path) -> None:
    """What it created is deleted, what it changed is as before; what others changed or purged since is reported."""
    folder = Folder(tmp_path)
    names = ["new", "old", "taken", "born", "purged"]
    manifest = folder.patients("all", [patient(name, gender="male") for name in names])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        await clinic.update(patient("old", gender="female"))
        await clinic.update(patient("taken", gender="female"))
        async with working(store):
            await clinic.submissions.submit(request(manifest))
            await processed(clinic, 1)
            assert (await clinic.read("Patient", "old")).json()["gender"] == "male"
            await clinic.update(patient("taken", gender="other"))
            await clinic.update(patient("born", gender="other"))
            await clinic.upkeep.purge("Patient", "purged", by="test")
            await clinic.submissions.submit(request(status="stopped"))
            status = await finished(clinic)
        with pytest.raises(Gone):
            await clinic.read("Patient", "new")
        assert (await clinic.read("Patient", "old")).json()["gender"] == "female"
        assert [(await clinic.read("Patient", name)).json()["gender"] for name in ("taken", "born")] == ["other"] * 2
        assert status.state == "stopped" and status.manifests[0].state == "undone"
        told = await outcomes(clinic, status)
        reported = [one["extension"][0]["valueReference"]["reference"] for one in told if "extension" in one]  # type: ignore[index]
        assert sorted(reported) == [f"{BASE}/Patient/{name}" for name in ("born", "purged", "taken")]


async def test_a_manifest_that_is_replaced_is_undone_before_the_new_one_is_read(tmp_path: Path) -> None:
    """A resource in both has the new content; one in the first alone is gone."""
    folder = Folder(tmp_path)
    first = folder.patients("first", [patient("a", gender="male"), patient("b")])
    second = folder.patients("second", [patient("a", gender="female"), patient("c")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(first))
            await processed(clinic, 1)
            await clinic.submissions.submit(request(second, replaces=first, status="completed"))
            status = await finished(clinic)
        assert [one.state for one in status.manifests] == ["undone", "processed"]
        methods = [version.method async for version in clinic.history("Patient", "a")]
        assert methods == ["PUT", "DELETE", "PUT"]
        assert (await clinic.read("Patient", "a")).json()["gender"] == "female"
        with pytest.raises(Gone):
            await clinic.read("Patient", "b")
        assert (await clinic.read("Patient", "c")).version_id == 1


async def test_requests_that_no_state_allows_are_refused(tmp_path: Path) -> None:
    """An unknown submitter; a stop of nothing; a URL twice; anything after the end."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient("a")])
    other = folder.patients("other", [patient("b")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        submissions = store.tenant("default").submissions
        with pytest.raises(NotFound):
            await submissions.submit(request(status="stopped"))
        with pytest.raises(NotFound):
            await submissions.status(ACME, "s1")
        await submissions.submit(request(manifest))
        await submissions.submit(request(manifest))  # a repetition
        with pytest.raises(ManifestTaken):
            await submissions.submit(request(manifest, mode="create-only"))
        await submissions.submit(request(status="completed"))
        for again in (request(other), request(status="completed"), request(status="stopped")):
            with pytest.raises(SubmissionEnded):
                await submissions.submit(again)
        with pytest.raises(UnknownSubmitter):
            await submissions.status("https://example.org/submitters|nobody", "s1")


async def test_secrets_of_a_request_are_nowhere_but_in_an_object_that_goes(tmp_path: Path) -> None:
    """Not in the document, the job, its log, the outcomes; and the object is removed when the manifest is read."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient("a"), b"{"])
    asked = replace(request(manifest, status="completed"), headers=(("Authorization", "Bearer s3cret"),))
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        await clinic.submissions.submit(asked)
        (objects,) = store.tenancy.stores
        assert await _holding(objects, b"s3cret") == ["private"]
        async with working(store):
            await finished(clinic)
        assert await _holding(objects, b"s3cret") == []


async def _holding(objects: ObjectStore, text: bytes) -> list[str]:
    """The folders of a submission that have an object with this text."""
    page = await objects.list("default/bulk/")
    bodies = {item.key: (await objects.get(item.key)).body for item in page.objects}
    return [key.split("/")[-2] for key, body in bodies.items() if text in body]


async def test_two_submissions_of_one_resource_make_two_versions(tmp_path: Path) -> None:
    """The second does not take the first one's line for its own."""
    folder = Folder(tmp_path)
    first = folder.patients("first", [patient("a", gender="male")])
    second = folder.patients("second", [patient("a", gender="male")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(first, status="completed"))
            await finished(clinic)
            await clinic.submissions.submit(replace(request(second, status="completed"), submission_id="s2"))
            await finished(clinic, id="s2")
        assert (await clinic.read("Patient", "a")).version_id == 2


async def test_remapped_ids_keep_two_sources_apart(tmp_path: Path) -> None:
    """The same id at two bases is two resources, and references follow."""
    folder = Folder(tmp_path)
    observation = {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/a"},
    }
    first = folder.manifest("first.json", [("", folder.write("1.ndjson", [patient("a"), observation]), None)])
    second = folder.manifest("second.json", [("", folder.write("2.ndjson", [patient("a"), observation]), None)])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path, ids="remap")) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(replace(request(first), fhir_base_url="https://one/fhir"))
            await clinic.submissions.submit(
                replace(request(second, status="completed"), fhir_base_url="https://two/fhir")
            )
            await finished(clinic)
        patients = {version.id async for version in clinic.history("Patient")}
        assert len(patients) == 2
        async for version in clinic.history("Observation"):
            subject = version.json()["subject"]
            assert isinstance(subject, dict) and subject["reference"].removeprefix("Patient/") in patients


async def test_the_secrets_of_a_request_that_changes_nothing_are_not_kept(tmp_path: Path) -> None:
    """Neither where it is refused, nor where it repeats another one."""
    folder = Folder(tmp_path)
    one, two = (replace(request(folder.patients(name, [])), headers=(("X-Key", "secret"),)) for name in ("a", "b"))
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        with pytest.raises(FhirError):
            await clinic.submissions.submit(replace(one, replaces="https://source.example.org/nothing"))
        for repeated in (one, one):
            await clinic.submissions.submit(repeated)
        with pytest.raises(ManifestTaken):
            await clinic.submissions.submit(replace(one, fhir_base_url=f"{BASE}/other"))
        await clinic.submissions.submit(two)
        page = await clinic._place.objects.list("", limit=1_000)
        assert sum("/private/" in item.key for item in page.objects) == 2
