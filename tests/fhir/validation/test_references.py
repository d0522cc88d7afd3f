"""References by search belong to transactions; other relative URLs are stored as they are."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from fhirstore.fhir.validation.integrity import relative_references
from fhirstore.fhir.validation.references import references_by_search, refuse_references_by_search

BY_SEARCH = "Patient?identifier=urn:s|1"
RELATIVE = ("Task/160.1/$accept?ac=abc", "160.1", "c757873d-ec9a-4326-a141-556f43239520", "X/_history/1", "Nonsense/1")


def _observation(reference: str) -> json.JsonObject:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "a"},
        "contained": [
            {
                "resourceType": "Basic",
                "code": {"text": "a"},
                "subject": {"reference": reference},
                "extension": [{"url": "urn:a", "valueReference": {"reference": "#"}}],
            }
        ],
    }


def _bundle(type_: str, reference: str) -> json.JsonObject:
    request = {"method": "POST", "url": "Observation"}
    return {
        "resourceType": "Bundle",
        "type": type_,
        "entry": [{"resource": _observation(reference), "request": request}],
    }


async def test_a_plain_write_refuses_a_reference_by_search() -> None:
    """Create, update and patch say where it is and why; nothing is stored."""
    async with FhirStore.open("memory:") as store:
        tenant = store.tenant("default")
        with pytest.raises(InvalidResource, match="in a transaction only") as refused:
            await tenant.create(_observation(BY_SEARCH))
        assert refused.value.issues[0].expression == ("Observation.contained[0].subject.reference",)
        with pytest.raises(InvalidResource, match="in a transaction only"):
            await tenant.update({**_observation(BY_SEARCH), "id": "o"})
        await tenant.update({**_observation("Patient/1"), "id": "o"})


async def test_a_batch_refuses_what_only_a_transaction_resolves() -> None:
    """The entry that has it, and no other."""
    bundle = _bundle("batch", BY_SEARCH)
    other = _bundle("batch", "Patient/1")["entry"]
    async with FhirStore.open("memory:") as store:
        result = await store.tenant("default").process({**bundle, "entry": [*bundle["entry"], *other]})  # type: ignore[misc]
        refused, done = result.results
        assert isinstance(refused.error, InvalidResource)
        assert "in a transaction only" in str(refused.error)
        assert done.version is not None


@pytest.mark.parametrize("reference", RELATIVE)
async def test_other_relative_references_are_stored_and_left_alone(reference: str) -> None:
    """Also where referred resources must be there: nothing tells which these would be."""
    async with FhirStore.open("memory:", reference_integrity=True) as store:
        version = await store.tenant("default").create(_observation(reference))
        assert reference in version.content.decode()


def test_what_is_no_type_and_id_is_no_target() -> None:
    """Reference integrity and targets have nothing to look at."""
    for reference in RELATIVE:
        assert relative_references(definitions(), _observation(reference)) == {}
        issues = Validator(definitions(), "full").issues(_observation(reference))
        assert [issue for issue in issues if issue.severity == "error"] == []


def test_a_transaction_kept_as_a_bundle_may_search() -> None:
    """It is to be processed elsewhere or later; a collection is not."""
    validator = Validator(definitions())
    validator.check(_bundle("transaction", BY_SEARCH))
    with pytest.raises(InvalidResource):
        validator.check(_bundle("transaction", "urn:uuid:1"))
    with pytest.raises(InvalidResource):
        validator.check(_bundle("collection", BY_SEARCH))


def test_references_by_search_are_found_whatever_is_validated() -> None:
    """With their places, for a batch, which resolves none; `place` is where the resource stands."""
    assert list(references_by_search(definitions(), _observation(BY_SEARCH))) == [
        "Observation.contained[0].subject.reference"
    ]
    assert list(references_by_search(definitions(), _observation("patient?x=y"))) == []
    assert list(references_by_search(definitions(), _bundle("transaction", BY_SEARCH))) == []
    with pytest.raises(InvalidResource) as refused:
        refuse_references_by_search(definitions(), _observation(BY_SEARCH), place="Bundle.entry[3].resource")
    assert refused.value.issues[0].code == "not-supported"
    assert refused.value.issues[0].expression == ("Bundle.entry[3].resource.contained[0].subject.reference",)
