"""Exports, uploads, submissions, keys and cursors belong to who began them; Binaries to who sees what they are of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fhirstore import (
    Access,
    AccessDenied,
    ExportRequest,
    FhirStore,
    HistoryQuery,
    NotFound,
    TenantStore,
    UploadRequest,
    parse_scopes,
)
from fhirstore.errors import IdempotencyKeyReused
from fhirstore.fhir.json import JsonObject
from tests.export.reading import HURRIED, ended
from tests.export.reading import worker as working_exports
from tests.submit.providing import ACME, QUICK, Folder, options, request, working
from tests.submit.providing import finished as finished_submission
from tests.submit.providing import patient as submitted_patient


def acting(
    clinic: TenantStore,
    scopes: str,
    *,
    client: str = "c",
    patient: str | None = None,
    submitters: frozenset[str] | None = None,
) -> TenantStore:
    """The tenant, as this client sees it."""
    parsed, others, refused = parse_scopes(scopes)
    assert not refused
    return clinic.acting(Access(client, client, "default", parsed, patient, others, submitters=submitters))


@pytest.fixture
async def store() -> AsyncIterator[FhirStore]:
    """A store whose exports are quick, with two patients and what is of them."""
    async with FhirStore.open("memory:", limits=HURRIED) as value:
        clinic = value.tenant("default")
        for patient in ("p", "q"):
            await clinic.update({"resourceType": "Patient", "id": patient})
            await clinic.update(document(patient))
            await clinic.update(binary(f"of-{patient}", f"Patient/{patient}"))
            await clinic.update(binary(f"in-{patient}", f"DocumentReference/{patient}"))
        await clinic.update(binary("of-nobody", None))
        yield value


@pytest.fixture
def clinic(store: FhirStore) -> TenantStore:
    """Its tenant."""
    return store.tenant("default")


def document(patient: str) -> JsonObject:
    """A document about a patient."""
    return {
        "resourceType": "DocumentReference",
        "id": patient,
        "status": "current",
        "subject": {"reference": f"Patient/{patient}"},
        "content": [{"attachment": {"url": f"Binary/in-{patient}"}}],
    }


def binary(id: str, context: str | None) -> JsonObject:
    """A Binary with this securityContext."""
    content: JsonObject = {"resourceType": "Binary", "id": id, "contentType": "text/plain", "data": "eHl6"}
    return content if context is None else {**content, "securityContext": {"reference": context}}


# --- exports ---------------------------------------------------------------------------------------------------


async def test_an_export_has_the_types_that_are_granted(store: FhirStore, clinic: TenantStore) -> None:
    """Without `_type` those; by name, what is not granted refuses it."""
    backend = acting(clinic, "system/Patient.rs system/Binary.r system/DocumentReference.rs?status=current")
    async with working_exports(store):
        status = await ended(backend, (await backend.exports.start(ExportRequest())).id)
    assert status.manifest is not None
    assert {file.type for file in status.manifest.output} == {"Patient"}
    for asked in (["DocumentReference"], ["Patient", "Binary"]):
        with pytest.raises(AccessDenied):
            await backend.exports.start(ExportRequest(types=asked))
    with pytest.raises(AccessDenied):
        await backend.exports.start(ExportRequest(level="group", group="g"))
    with pytest.raises(AccessDenied):
        await backend.exports.start(ExportRequest(types=["Patient"], include_associated=["LatestProvenanceResources"]))
    with pytest.raises(AccessDenied):
        await acting(clinic, "system/Observation.rs").exports.start(ExportRequest(level="patient", patients=["p"]))


@pytest.mark.parametrize("scopes", ["patient/*.cruds", "user/*.cruds", "system/*.r", "system/*.s", ""])
async def test_only_system_scopes_export(clinic: TenantStore, scopes: str) -> None:
    """With `r` and `s`; those of a patient or a user do not, whatever they reach."""
    access = Access(
        "s", "c", None, parse_scopes(scopes)[0], "p", frozenset(), "Practitioner/x", users_reach_tenant=True
    )
    with pytest.raises(AccessDenied):
        await clinic.acting(access).exports.start(ExportRequest())


async def test_an_export_is_of_the_client_that_began_it(store: FhirStore, clinic: TenantStore) -> None:
    """For others, and for a patient's app with its client id, there is none: no status, no page, no file, no URL, and
    no cancelling. An administrator sees all."""
    mine = acting(clinic, "system/*.rs")
    async with working_exports(store):
        id_ = (await mine.exports.start(ExportRequest(types=["Patient"]))).id
        status = await ended(mine, id_)
    assert status.manifest is not None
    name = status.manifest.files[0].name
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    calls: list[Callable[[TenantStore, str], object]] = [
        lambda t, id: t.exports.status(id),
        lambda t, id: t.exports.page(id, "p"),
        lambda t, id: t.exports.file(id, name),
        lambda t, id: t.exports.key(id, name),
        lambda t, id: t.exports.presigned(id, [name], expires_in=60),
        lambda t, id: t.exports.cancel(id),
    ]
    others = [acting(clinic, "system/*.cruds", client="d"), acting(clinic, "patient/*.cruds user/*.cruds", patient="p")]
    for call in calls:
        for other in others:
            told = []
            for id_asked in (id_, unknown):
                with pytest.raises(NotFound) as raised:
                    await call(other, id_asked)  # type: ignore[misc] # each is a coroutine
                told.append(str(raised.value))
            assert told[0] == told[1]
    admin = acting(clinic, "system/fhirstore.admin", client="d")
    assert (await admin.exports.status(id_)).manifest == status.manifest
    await mine.exports.cancel(id_)


# --- uploads and Binaries ----------------------------------------------------------------------------------------


async def _pieces() -> AsyncIterator[bytes]:
    yield b"abc"


async def test_an_upload_is_of_who_began_it(clinic: TenantStore) -> None:
    """Another client, or the same one with another patient, does not find it; a sweep finishes it all the same."""
    asked = UploadRequest(content_type="text/plain", size=3, security_context="Patient/p")
    mine = acting(clinic, "patient/*.cruds", patient="p")
    begun = await mine.uploads.begin(asked, largest=10)
    assert isinstance(begun.how, dict)
    for other in (
        acting(clinic, "patient/*.cruds", patient="p", client="d"),
        acting(clinic, "patient/*.cruds", patient="q"),
    ):
        for call in (other.uploads.status, other.uploads.complete, other.uploads.abort):
            with pytest.raises(NotFound):
                await call(begun.upload.id)
    ticket = await mine.uploads.admitted(begun.upload.id, begun.how)
    await mine.uploads.receive(ticket, _pieces())
    done = await mine.uploads.complete(begun.upload.id)
    assert done.version is not None
    assert (await mine.read("Binary", done.version.id)).payload is not None
    with pytest.raises(NotFound):
        await acting(clinic, "patient/*.cruds", patient="q").read("Binary", done.version.id)


@pytest.mark.parametrize(
    ("scopes", "context"),
    [
        ("patient/*.cruds", None),
        ("patient/*.cruds", "Patient/q"),
        ("patient/*.cruds", "DocumentReference/q"),
        ("patient/*.cruds", "DocumentReference/none"),
        ("patient/*.cruds", "Binary/of-p"),
        ("system/Binary.ruds", "Patient/p"),
    ],
)
async def test_an_upload_that_may_not_become_a_binary_is_not_begun(
    clinic: TenantStore, scopes: str, context: str | None
) -> None:
    """The `securityContext` says of whom it is."""
    asked = UploadRequest(content_type="text/plain", size=3, security_context=context)
    with pytest.raises(AccessDenied):
        await acting(clinic, scopes, patient="p").uploads.begin(asked, largest=10)


async def test_a_binary_is_seen_with_what_it_is_of(clinic: TenantStore) -> None:
    """Its `securityContext` is the patient, or a resource that is seen; without one, or of others, it is hidden."""
    app = acting(clinic, "patient/*.cruds", patient="p")
    for id_ in ("of-p", "in-p"):
        assert (await app.read("Binary", id_)).id == id_
        assert (await app.vread("Binary", id_, 1)).id == id_
    for id_ in ("of-q", "in-q", "of-nobody", "none"):
        with pytest.raises(NotFound):
            await app.read("Binary", id_)
        with pytest.raises(NotFound):
            await app.vread("Binary", id_, 1)
        with pytest.raises(NotFound):
            await app.update(binary(id_, "Patient/p"))
    assert (await app.create(binary("ignored", "DocumentReference/p"))).created
    without_documents = acting(clinic, "patient/Binary.cruds", patient="p")
    with pytest.raises(NotFound):
        await without_documents.read("Binary", "in-p")


# --- submissions ---------------------------------------------------------------------------------------------------


async def test_a_client_submits_for_its_submitters(tmp_path: Path) -> None:
    """It needs the scope and the registration, for the submission and for what became of it."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [submitted_patient("x")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        for refused in (
            acting(clinic, "system/bulk-submit"),
            acting(clinic, "system/*.cruds", submitters=frozenset({ACME})),
            acting(clinic, "system/bulk-submit", submitters=frozenset({"other|one"})),
        ):
            with pytest.raises(AccessDenied):
                await refused.submissions.submit(request(manifest, status="completed"))
        registered = acting(clinic, "system/bulk-submit", submitters=frozenset({ACME}))
        async with working(store):
            await registered.submissions.submit(request(manifest, status="completed"))
            assert (await finished_submission(registered)).finished


# --- keys, cursors, jobs -----------------------------------------------------------------------------------------


async def test_an_idempotency_key_is_of_who_uses_it(clinic: TenantStore) -> None:
    """The same key of another client makes another resource; of the same client it replays, or is refused."""
    resource: JsonObject = {"resourceType": "Basic", "code": {"text": "x"}}
    mine, other = (acting(clinic, "system/*.cruds", client=client) for client in ("c", "d"))
    first = await mine.create(resource, idempotency_key="k")
    assert (await mine.create(resource, idempotency_key="k")).id == first.id
    assert (await other.create(resource, idempotency_key="k")).id != first.id
    assert (await clinic.create(resource, idempotency_key="k")).id != first.id
    with pytest.raises(IdempotencyKeyReused):
        await mine.create({**resource, "code": {"text": "y"}}, idempotency_key="k")


async def test_a_cursor_shows_what_its_user_may_see(clinic: TenantStore) -> None:
    """A cursor of the whole tenant goes on in what the patient's client sees; it is no key to anything."""
    everything = acting(clinic, "system/*.rs")
    app = acting(clinic, "patient/*.rs", patient="p")
    page = await everything.history_page(query=HistoryQuery(2))
    shown = await app.history_page(query=HistoryQuery(50), cursor=page.next)
    assert {one.id for one in shown.versions} <= {"p", "of-p"}
    found = await everything.search_page(everything.query("Patient", []), count=1)
    matches = (await app.search_page(app.query("Patient", []), cursor=found.next)).matches
    assert {one.id for one in matches} <= {"p"}


async def test_jobs_and_maintenance_are_an_administrators(clinic: TenantStore) -> None:
    """All rights on all resources do not include them."""
    everything = acting(clinic, "system/*.cruds system/bulk-submit")
    for get in (lambda: everything.jobs, lambda: everything.upkeep, lambda: everything.runs("d")):
        with pytest.raises(AccessDenied):
            get()
    admin = acting(clinic, "system/fhirstore.admin")
    assert await admin.jobs.list() == []
    await admin.upkeep.purge("Patient", "q", by="test")
    with pytest.raises(AccessDenied):
        await admin.read("Patient", "p")
