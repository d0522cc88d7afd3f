"""A Bundle and its entries obey the definition of Bundle, as what is stored does: nothing in them is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from fhirstore.bundles.entries import parse_entries
from fhirstore.bundles.envelope import checked
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.validation import Validator
from server.settings import Settings
from tests.bundles.asking import entry, issue, patient, send, statuses
from tests.server.serving import FHIR_JSON, Served, serving

PUT = entry("PUT", "Patient/1", patient("1"))
SECOND = entry("PUT", "Patient/2", patient("2"))

BUNDLES = [
    ({"entries": [PUT]}, "Bundle.entries"),
    ({"Entry": [PUT]}, "Bundle.Entry"),
    ({"total": "many"}, "Bundle.total"),
    ({"link": "x"}, "Bundle.link"),
    ({"link": [{"relation": "self"}]}, "Bundle.link[0].url"),
    ({"meta": {"nonsense": 1}}, "Bundle.meta.nonsense"),
    ({"_entry": {"id": "x"}}, "Bundle.entry"),
]
ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({**SECOND, "Resource": patient("2")}, "Bundle.entry[1].Resource"),
    ({**SECOND, "bar": 1}, "Bundle.entry[1].bar"),
    ({**SECOND, "fullurl": "urn:uuid:1"}, "Bundle.entry[1].fullurl"),
    ({**SECOND, "resource": None, "request": {"method": "DELETE", "url": "Patient/2"}}, "Bundle.entry[1].resource"),
    ({**SECOND, "link": [{"relation": 1, "url": "x"}]}, "Bundle.entry[1].link[0].relation"),
    ({**SECOND, "fullUrl": "a b"}, "Bundle.entry[1].fullUrl"),
    ({**SECOND, "_resource": {"id": "x"}}, "Bundle.entry[1].resource"),
    ({**SECOND, "request": {**SECOND["request"], "_method": 1}}, "Bundle.entry[1].request.method"),  # type: ignore[dict-item]
    ({**SECOND, "request": {**SECOND["request"], "ifMatches": "x"}}, "Bundle.entry[1].request"),  # type: ignore[dict-item]
    ({**SECOND, "request": {**SECOND["request"], "ifModifiedSince": "now"}}, "Bundle.entry[1].request.ifModifiedSince"),  # type: ignore[dict-item]
]  # fmt: skip


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize(("members", "place"), BUNDLES)
async def test_a_bundle_with_a_member_that_it_cannot_have_is_refused_whole(
    served: Served, kind: str, members: dict[str, object], place: str
) -> None:
    """A misspelt or malformed member of the Bundle is 422 with its place, and nothing is written."""
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [PUT], **members}
    answer = await served.client.post("/fhir", json=bundle, headers=FHIR_JSON)
    assert (answer.status_code, issue(answer.json())[2]) == (422, [place])
    assert (await served.client.get("/fhir/Patient/1")).status_code == 404


@pytest.mark.parametrize(("bad", "place"), ENTRIES)
async def test_an_entry_with_a_member_that_it_cannot_have_refuses_its_transaction(
    served: Served, bad: dict[str, Any], place: str
) -> None:
    """A misspelt or malformed member of an entry is told with its place, and nothing is written."""
    answer = await send(served, "transaction", [PUT, bad])
    assert answer.status_code in (400, 422)
    assert issue(answer.json())[2] == [place]
    assert (await served.client.get("/fhir/Patient/1")).status_code == 404


@pytest.mark.parametrize(("bad", "place"), ENTRIES)
async def test_an_entry_with_a_member_that_it_cannot_have_fails_alone_in_a_batch(
    served: Served, bad: dict[str, Any], place: str
) -> None:
    """The other entries are done, and this one is not."""
    answer = await send(served, "batch", [PUT, bad])
    first, second = statuses(answer)
    assert (first, second in (400, 422)) == (201, True)
    assert issue(answer.json()["entry"][1]["response"]["outcome"])[2] == [place]
    assert (await served.client.get("/fhir/Patient/2")).status_code == 404


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_without_validation_names_are_looked_at_all_the_same(kind: str) -> None:
    """With FHIRSTORE_VALIDATION=off an unknown member, which may hold data, is refused; a wrong value is not."""
    async with serving(Settings(validation="off")) as served:
        bundle = {"resourceType": "Bundle", "type": kind, "total": "many", "entry": [PUT]}
        assert statuses(await served.client.post("/fhir", json=bundle, headers=FHIR_JSON)) == [201]
        answer = await served.client.post("/fhir", json=bundle | {"entries": [PUT]}, headers=FHIR_JSON)
        assert (answer.status_code, issue(answer.json())[2]) == (400, ["Bundle.entries"])
        answer = await send(served, kind, [{**SECOND, "Resource": patient("2")}])
        assert (statuses(answer) if kind == "batch" else [answer.status_code]) == [400]
        assert (await served.client.get("/fhir/Patient/2")).status_code == 404


async def test_full_validation_asks_the_invariants_of_bundles() -> None:
    """bdl-1 refuses the Bundle, bdl-8 the entry that breaks it, and a fullUrl may recur with another version."""
    async with serving(Settings(validation="full")) as served:
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": [PUT]}
        answer = await served.client.post("/fhir", json=bundle | {"total": 1}, headers=FHIR_JSON)
        assert (answer.status_code, "bdl-1" in answer.text) == (422, True)
        versioned = {**SECOND, "fullUrl": "http://example.org/fhir/Patient/2/_history/1"}
        answer = await send(served, "batch", [PUT, versioned])
        assert (statuses(answer), "bdl-8" in answer.text) == ([201, 422], True)
        one = {**PUT, "fullUrl": "http://example.org/fhir/Patient/1"}
        assert statuses(await send(served, "batch", [one, {**SECOND, "fullUrl": one["fullUrl"]}])) == [200, 201]


def test_a_resource_is_not_validated_with_its_entry() -> None:
    """It is validated once, when it is written: a large load does not pay twice."""
    broken = entry("PUT", "Patient/1", patient("1", nonsense=True))
    validator = Validator(definitions())
    asked = parse_entries([broken], types=validator.definitions.resources)
    assert checked(asked, [broken], validator) == asked
