"""The status manifest: its outcome files with their severities, and the same as error for older clients; pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhirstore.commit.drive import drive
from fhirstore.errors import InvalidResource, NotFound
from fhirstore.jobs.lease import LeaseLost, compare_and_set, put_once
from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.memory import MemoryStore
from fhirstore.store import FhirStore
from fhirstore.submit.segment import Counts
from fhirstore.submit.status import PAGE, ManifestStatus, SubmissionStatus, render_status_manifest
from fhirstore.submit.summary import OutcomeFile
from tests.submit.providing import ACME, QUICK, Folder, finished, options, patient, request, working


def _status(files: int) -> SubmissionStatus:
    some = tuple(
        OutcomeFile(name=f"outcome-{n}.ndjson", count=3, size=300, severities={"error": 2, "information": 1})
        for n in range(files)
    )
    manifest = ManifestStatus("m0001", "https://a/1", "processed", Counts(), 0, some)
    return SubmissionStatus("s1", "completed", True, "", (manifest,), 1_700_000_000_000)


def test_a_status_manifest_names_its_files_with_their_manifest_and_severities() -> None:
    """As outcome, and as error."""
    rendered = render_status_manifest(
        _status(1), url_of=lambda name: f"https://b/{name}", requires_access_token=True, request="https://b/$x"
    )
    item = {
        "type": "OperationOutcome",
        "url": "https://b/m0001.outcome-0.ndjson",
        "manifestUrl": "https://a/1",
        "count": 3,
        "fileSize": 300,
        "countSeverity": [{"code": "error", "count": 2}, {"code": "information", "count": 1}],
    }
    assert rendered["outcome"] == rendered["error"] == [item]
    assert (rendered["submissionId"], rendered["output"], rendered["requiresAccessToken"]) == ("s1", [], True)
    assert rendered["transactionTime"] == "2023-11-14T22:13:20.000Z"
    assert "link" not in rendered


def test_a_long_status_manifest_has_pages() -> None:
    """Each names the next; all files are on one of them; there is none behind the last."""

    def page(number: int) -> dict[str, object]:
        return render_status_manifest(
            _status(2 * PAGE + 1),
            url_of=str,
            requires_access_token=False,
            page=number,
            page_url_of=lambda n: f"https://b/?page={n}",
        )

    pages = [page(number) for number in range(3)]
    assert [len(one["outcome"]) for one in pages] == [PAGE, PAGE, 1]  # type: ignore[arg-type]
    assert [one.get("link") for one in pages] == [
        [{"relation": "next", "url": "https://b/?page=1"}],
        [{"relation": "next", "url": "https://b/?page=2"}],
        None,
    ]
    with pytest.raises(InvalidResource):
        page(3)


async def test_severities_are_counted_by_outcome_and_files_found_by_name_alone(tmp_path: Path) -> None:
    """A name that no summary has is not found, whatever object it might lead to."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient("a"), b"{", b"["])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
            findings = (await clinic.upkeep.fsck()).findings
        assert not findings
        ((_, file),) = status.files
        assert dict(file.severities) == {"error": 2, "information": 1}
        for name in (file.name, "m0001.", "m0002." + file.name, "m0001.../../submission.json"):
            with pytest.raises(NotFound):
                await clinic.submissions.file(ACME, "s1", name)


async def test_what_is_settled_stays_and_nobody_settles_late() -> None:
    """The first writer's word counts; after the end of a lease nothing is written."""
    store = MemoryStore()
    assert await drive(put_once("a", b"1"), store) == b"1"
    assert await drive(put_once("a", b"2", until=store.now() + 60_000), store) == b"1"
    with pytest.raises(LeaseLost):
        await drive(put_once("b", b"1", until=store.now() - 1), store)
    assert await drive(put_once("a", b"2", until=store.now() - 1), store) == b"1"


async def test_a_swap_tells_whether_it_was_ours() -> None:
    """By the condition, and by reading what is there."""
    store = MemoryStore()
    assert await drive(compare_and_set("a", b"1", IF_ABSENT), store)
    assert not await drive(compare_and_set("a", b"2", IF_ABSENT), store)
    etag = (await store.get("a")).etag
    assert await drive(compare_and_set("a", b"2", IfMatch(etag)), store)
    assert await drive(compare_and_set("a", b"2", IfMatch(etag)), store)  # a repetition whose reply was lost
    assert not await drive(compare_and_set("a", b"3", IfMatch(etag)), store)
