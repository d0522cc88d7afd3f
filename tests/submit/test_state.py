"""The states of a submission and of its manifests: every pair of state and event does what its table says."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from fhirstore.errors import FhirError, InvalidResource, ManifestTaken, NotFound, SubmissionEnded
from fhirstore.submit.course import Finish, Read, Undo, Wait, next_step
from fhirstore.submit.request import SubmitRequest
from fhirstore.submit.state import (
    ADD,
    COMPLETE,
    EVENTS,
    FAIL,
    FAILED,
    MANIFEST_EVENTS,
    MANIFEST_STATES,
    MANIFEST_TABLE,
    PROCESS,
    PROCESSED,
    RECEIVED,
    REPLACE,
    STATES,
    STOP,
    TABLE,
    UNDO,
    UNDONE,
    UNKNOWN,
    WITHDRAW,
    Manifest,
    Submission,
    accepted,
)
from fhirstore.submit.status import manifest_status
from fhirstore.submit.summary import Summary

FIRST = Manifest(id="m0001", url="https://a/1", base="https://a/fhir", received=1, mode="replace")
BEGUN = Submission(submitter="s|x", id="1", job="j", created=1, updated=1, state="in-progress", manifests=(FIRST,))


def _request(event: str) -> SubmitRequest:
    """A request that is this event and no other."""
    if event == ADD:
        return SubmitRequest(
            submitter="s|x", submission_id="1", manifest_url="https://a/2", fhir_base_url="https://a/fhir"
        )
    if event == REPLACE:
        return SubmitRequest(submitter="s|x", submission_id="1", replaces="https://a/1")
    status = {COMPLETE: "completed", STOP: "stopped"}[event]
    return SubmitRequest(submitter="s|x", submission_id="1", status=status)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_every_state_and_event_does_what_the_table_says(state: str, event: str) -> None:
    """What is not in the table is refused, what is leads to its state."""
    before = replace(BEGUN, state=state, manifests=() if state == UNKNOWN else (FIRST,))
    expected = TABLE.get((state, event))
    if expected is not None:
        after = accepted(before, _request(event), mode="replace", private=None, now=2)
        assert (after.state, after.updated) == (expected, 2)
        return
    with pytest.raises(NotFound if state == UNKNOWN else SubmissionEnded):
        accepted(before, _request(event), mode="replace", private=None, now=2)


@pytest.mark.parametrize("state", MANIFEST_STATES)
@pytest.mark.parametrize("event", MANIFEST_EVENTS)
def test_every_state_and_event_of_a_manifest_does_what_the_table_says(state: str, event: str) -> None:
    """The states are read off from the document and the two summaries; an event adds one of these."""
    processed, failed, undone = (Summary(state=one, ended=1) for one in (PROCESSED, FAILED, UNDONE))
    withdrawn = replace(FIRST, withdrawn=True)
    before: dict[str, tuple[Manifest, Summary | None, Summary | None]] = {
        RECEIVED: (FIRST, None, None),
        PROCESSED: (FIRST, processed, None),
        FAILED: (FIRST, failed, None),
        "withdrawn": (withdrawn, None, None),
        UNDONE: (withdrawn, None, undone),
    }
    manifest, summary, undoing = before[state]
    assert manifest_status(manifest, summary, undoing).state == state
    expected = MANIFEST_TABLE.get((state, event))
    if expected is None:
        return
    if event in (PROCESS, FAIL):
        summary = processed if event == PROCESS else failed
    elif event == WITHDRAW:
        manifest = replace(manifest, withdrawn=True)
    elif event == UNDO:
        undoing = undone
    assert manifest_status(manifest, summary, undoing).state == expected


def test_the_last_manifest_may_come_with_completed() -> None:
    """One request can be a whole submission; repeated, it changes nothing."""
    request = SubmitRequest(
        submitter="s|x",
        submission_id="1",
        status="completed",
        manifest_url="https://a/1",
        fhir_base_url="https://a/fhir/",
    )
    nothing = replace(BEGUN, state=UNKNOWN, manifests=())
    after = accepted(nothing, request, mode="replace", private=None, now=5)
    assert (after.state, [one.url for one in after.manifests]) == ("completed", ["https://a/1"])
    assert accepted(after, request, mode="replace", private=None, now=6) is after


def test_a_replacement_withdraws_the_old_manifest_and_adds_the_new_one() -> None:
    """Once only; and only a manifest of this submission."""
    request = SubmitRequest(
        submitter="s|x",
        submission_id="1",
        manifest_url="https://a/2",
        replaces="https://a/1",
        fhir_base_url="https://a",
    )
    after = accepted(BEGUN, request, mode="create-only", private="p", now=5)
    assert [(one.id, one.withdrawn, one.mode) for one in after.manifests] == [
        ("m0001", True, "replace"),
        ("m0002", False, "create-only"),
    ]
    again = SubmitRequest(submitter="s|x", submission_id="1", replaces="https://a/1")
    with pytest.raises(InvalidResource):
        accepted(after, again, mode="replace", private=None, now=6)


def test_a_url_is_taken_by_its_first_manifest() -> None:
    """The same request again is a repetition; another base or mode under the URL is not."""
    request = SubmitRequest(
        submitter="s|x", submission_id="1", manifest_url="https://a/1", fhir_base_url="https://a/fhir"
    )
    assert accepted(BEGUN, request, mode="replace", private="another", now=5) is BEGUN
    with pytest.raises(ManifestTaken):
        accepted(BEGUN, request, mode="skip-unchanged", private=None, now=5)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"status": "done"},
        {"manifest_url": "https://a/1"},
        {"status": "completed", "submission_id": ""},
        {"status": "completed", "submission_id": "a\nb"},
        {"manifest_url": "https://a/1", "fhir_base_url": "https://a", "replaces": "https://a/1"},
        {"manifest_url": "https://a/" + "x" * 5_000, "fhir_base_url": "https://a"},
    ],
)
def test_a_request_that_the_specification_does_not_allow_is_refused(members: dict[str, str]) -> None:
    """With the parameter's place."""
    request = SubmitRequest(**{"submitter": "s|x", "submission_id": "1", **members})  # type: ignore[arg-type]
    with pytest.raises(FhirError) as refused:
        request.check()
    assert refused.value.issues[0].expression


def test_the_job_undoes_before_it_reads_and_ends_when_nothing_may_come() -> None:
    """The newest withdrawn manifest first; a manifest that must wait does not hold up the others."""
    second = replace(FIRST, id="m0002", url="https://a/2")
    nothing: dict[str, int] = {}

    def step(submission: Submission, *, done: str = "", waiting: dict[str, int] = nothing) -> object:
        ids = frozenset(done.split())
        return next_step(submission, processed=ids, undone=ids, waiting=waiting, now=10)

    both = replace(BEGUN, manifests=(FIRST, second))
    gone = replace(both, manifests=(replace(FIRST, withdrawn=True), replace(second, withdrawn=True)))
    assert step(gone) == Undo(gone.manifests[1])
    assert step(gone, done="m0002") == Undo(gone.manifests[0])
    assert step(both) == Read(FIRST)
    assert step(both, waiting={"m0001": 11}) == Read(second)
    assert step(both, waiting={"m0001": 11}, done="m0002") == Wait(11)
    assert step(both, done="m0001 m0002") == Wait(None)
    assert step(replace(both, state="completed"), done="m0001 m0002") == Finish()
    assert step(replace(gone, state="stopped"), done="m0001 m0002") == Finish()
