"""What is printed, logged or shown by a debugger has type, id and version in it, and nothing of a resource."""

from __future__ import annotations

import pytest

from fhirstore import (
    BundleEntry,
    FhirPathPatch,
    FhirStoreError,
    InvalidResource,
    JsonPatch,
    MergePatch,
    PatchFailed,
    RulesBroken,
    TenantStore,
    UnknownType,
    ValidateRequest,
    VersionConflict,
)

SECRET = "Szemerédi"
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"family": SECRET}],
    "identifier": [{"system": "urn:mrn", "value": SECRET}],
}


async def test_a_version_shows_type_id_and_version(clinic: TenantStore) -> None:
    """Its content is not shown, in a list or on its own."""
    version = await clinic.update(PATIENT)
    assert repr(version) == "<Version 1 of Patient/p>"
    assert str([version]) == "[<Version 1 of Patient/p>]"
    assert SECRET not in str(version.__rich_repr__())
    deleted = await clinic.delete("Patient", "p")
    assert repr(deleted) == "<Version 2 of Patient/p, deleted>"


async def test_pages_show_how_much_they_hold(clinic: TenantStore) -> None:
    """Not what they hold, nor what was searched for."""
    await clinic.update(PATIENT)
    await clinic.update({**PATIENT, "id": "q"})
    page = await clinic.search("Patient", identifier=f"urn:mrn|{SECRET}", _count=1)
    assert repr(page) == "<SearchPage of 1 matches, more follow>"
    assert repr(page.query) == "<Query of Patient: identifier, _count>"
    assert repr(await clinic.history_page("Patient")) == "<HistoryPage of 2 versions>"


async def test_results_of_a_bundle(clinic: TenantStore) -> None:
    """What each entry asked for and came to."""
    entries: list[dict[str, object]] = [
        {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/p"}},
        {"request": {"method": "GET", "url": "Patient/q"}},
        {"request": {"method": "DELETE", "url": f"Patient?identifier=urn:mrn|{SECRET}0"}},
        {"request": {"method": "GET", "url": f"{SECRET}/1"}},
    ]
    done = await clinic.batch({"resourceType": "Bundle", "type": "batch", "entry": entries})
    assert repr(done) == "<BundleResult of a batch of 4 entries>"
    assert [repr(result) for result in done.results] == [
        "<EntryResult of <Entry 0: update Patient/p>: <Version 1 of Patient/p>>",
        "<EntryResult of <Entry 1: read Patient/q>: NotFound>",
        "<EntryResult of <Entry 2: delete Patient>: None>",
        "<EntryResult of None: UnknownType>",
    ]
    assert isinstance(done.results[0].entry, BundleEntry)
    assert isinstance(done.results[3].error, UnknownType)


def test_what_goes_in_is_not_shown_either() -> None:
    """Patches and requests to validate."""
    operation = {"op": "add", "path": "/name", "value": SECRET}
    parameter = {
        "name": "operation",
        "part": [
            {"name": "type", "valueCode": "replace"},
            {"name": "path", "valueString": "Patient.name.family"},
            {"name": "value", "valueString": SECRET},
        ],
    }
    for value in (
        JsonPatch.parse([operation]),
        MergePatch.parse({"name": SECRET}),
        FhirPathPatch.parse({"resourceType": "Parameters", "parameter": [parameter]}),
        ValidateRequest("Patient", resource=dict(PATIENT)),
    ):
        assert SECRET not in repr(value)


async def test_errors_hold_no_content(clinic: TenantStore) -> None:
    """Neither in their text nor in their arguments."""
    await clinic.update(PATIENT)
    raised: list[FhirStoreError] = []
    for call in (
        clinic.update({**PATIENT, "gender": SECRET}),
        clinic.update({**PATIENT, "birthDate": SECRET}),
        clinic.update({**PATIENT, SECRET: SECRET}),
        clinic.update(f'{{"resourceType":"Patient","id":"p","name":[{{"family":"{SECRET}"}}'),
        clinic.update(PATIENT, if_match=7),
        clinic.patch("Patient", "p", MergePatch.parse({"id": SECRET})),
        clinic.search("Patient", identifier=f"{SECRET}|{SECRET}|{SECRET}"),
        clinic.conditional_update(PATIENT, f"identifier=urn:mrn|{SECRET}0"),
    ):
        with pytest.raises(FhirStoreError) as caught:
            await call
        raised.append(caught.value)
    assert {RulesBroken, PatchFailed, VersionConflict, InvalidResource} <= {type(error) for error in raised}
    for error in raised:
        assert SECRET not in f"{error!r} {error} {error.args} {vars(error)}"
