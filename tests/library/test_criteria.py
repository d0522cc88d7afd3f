"""Search and the conditional interactions, by criteria that a caller writes down as they come."""

from __future__ import annotations

import pytest

from fhirstore import (
    InvalidResource,
    MergePatch,
    MultipleMatches,
    NotFound,
    TenantStore,
    UnknownType,
    VersionConflict,
)


def patient(value: str, **members: object) -> dict[str, object]:
    """A Patient with one identifier."""
    return {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": value}], **members}


async def test_search_is_one_call(clinic: TenantStore) -> None:
    """Keywords, a mapping, pairs or a query: all mean the same."""
    seven = await clinic.create(patient("7"))
    await clinic.create(patient("8"))
    found = await clinic.search("Patient", identifier="urn:mrn|7")
    assert [match.id for match in found.matches] == [seven.id]
    assert found.total == 1
    for parameters in (
        {"identifier": "urn:mrn|7"},
        {"identifier": ["urn:mrn|7", "urn:mrn|"]},
        [("identifier", "urn:mrn|7"), ("_id", seven.id)],
        "identifier=urn%3Amrn%7C7",
    ):
        assert (await clinic.search("Patient", parameters)).matches == found.matches
    both = await clinic.search("Patient", {"_lastUpdated": "ge2026"}, identifier="urn:mrn|7,urn:mrn|8", _count=1)
    assert len(both.matches) == 1
    assert await clinic.count("Patient", identifier="urn:mrn|") == 2
    assert await clinic.count("Patient") == 2
    assert await clinic.count() == 2


async def test_true_and_false_are_values(clinic: TenantStore) -> None:
    """As FHIR writes them, not as Python does."""
    made = await clinic.create(patient("7", active=True))
    assert [match.id async for match in clinic.search("Patient", active=True)] == [made.id]
    assert await clinic.count("Patient", {"active": False, "birthdate:missing": True}) == 0


async def test_all_matches_or_page_by_page(clinic: TenantStore) -> None:
    """`async for` goes on to the next page by itself; a cursor leads there, too."""
    made = {(await clinic.create(patient("1"))).id for _ in range(5)}
    every = [match.id async for match in clinic.search("Patient", identifier="1", _count=2)]
    assert (len(every), set(every)) == (5, made)
    newest = [match.id async for match in clinic.search("Patient", _count=2)]
    assert (len(newest), set(newest)) == (5, made)
    page = await clinic.search("Patient", identifier="1", _count=2)
    assert page.next is not None
    second = await clinic.search("Patient", identifier="1", _count=2, _cursor=page.next)
    assert [match.id for match in second.matches] == every[2:4]
    assert (await clinic.search_page(page.query, cursor=page.next)).matches == second.matches
    assert (await clinic.search("Patient", identifier="1", _count=0)).total == 5
    assert [one async for one in clinic.search("Observation")] == []


async def test_searches_that_are_refused(clinic: TenantStore) -> None:
    """When they are awaited, as an error that names the parameter."""
    with pytest.raises(InvalidResource, match="'nane'"):
        await clinic.search("Patient", nane="x")
    with pytest.raises(UnknownType):
        await clinic.search("Patients")
    with pytest.raises(InvalidResource, match="_lastUpdated"):
        await clinic.count("Patient", _lastUpdated="soon")
    with pytest.raises(InvalidResource):
        _ = [one async for one in clinic.search("Patient", nane="x")]


async def test_conditional_interactions_are_named_alike(clinic: TenantStore) -> None:
    """create, update, patch and delete: each with criteria, as a query, a mapping or pairs."""
    mrn = {"identifier": "urn:mrn|7"}
    made = await clinic.conditional_create(patient("7"), mrn)
    again = await clinic.conditional_create(patient("7"), "identifier=urn:mrn|7")
    older = await clinic.create(patient("7"), if_none_exist="identifier=urn:mrn|7")
    assert (made.created, again.created, older.created) == (True, False, False)
    assert made.id == again.id == older.id
    updated = await clinic.conditional_update(patient("7", active=True), mrn, if_match="1")
    patched = await clinic.conditional_patch("Patient", mrn, MergePatch.parse({"active": False}), if_match=2)
    assert (updated.version_id, patched.version_id) == (2, 3)
    with pytest.raises(VersionConflict):
        await clinic.conditional_delete("Patient", mrn, if_match='W/"1"')
    deleted = await clinic.conditional_delete("Patient", [("identifier", "urn:mrn|7")])
    assert deleted is not None
    assert deleted.deleted
    assert await clinic.conditional_delete("Patient", mrn) is None
    with pytest.raises(NotFound):
        await clinic.conditional_patch("Patient", mrn, MergePatch.parse({"active": False}))
    await clinic.create(patient("7"))
    await clinic.create(patient("7"))
    for write in (
        clinic.conditional_create(patient("7"), mrn),
        clinic.conditional_update(patient("7"), mrn),
        clinic.conditional_delete("Patient", mrn),
    ):
        with pytest.raises(MultipleMatches):
            await write
    assert len(await clinic.delete_matching("Patient", mrn)) == 2


async def test_a_mapping_is_not_quoted(clinic: TenantStore) -> None:
    """A plus sign, a percent sign and an ampersand mean themselves; in a query they are quoted."""
    odd = "a+b&c=50%"
    made = await clinic.conditional_create(patient(odd), {"identifier": f"urn:mrn|{odd}"})
    again = await clinic.conditional_create(patient(odd), "identifier=urn:mrn|a%2Bb%26c=50%25")
    assert again.id == made.id
