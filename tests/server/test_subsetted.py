"""What `_summary` or `_elements` gave is no resource to store: it would overwrite the whole with a part."""

from __future__ import annotations

import pytest

from fhirstore import FhirStore
from fhirstore.errors import RulesBroken
from fhirstore.fhir.subset import SUBSETTED
from tests.server.serving import FHIR_JSON, Served

PATIENT = b'{"resourceType":"Patient","id":"p","active":true,"name":[{"family":"a"}],"photo":[{"title":"a"}]}'
URL = "/fhir/Patient/p"


@pytest.mark.parametrize("query", ["_summary=true", "_summary=text", "_summary=data", "_elements=active"])
async def test_a_part_is_not_stored_in_place_of_the_whole(served: Served, query: str) -> None:
    """PUT, POST and both kinds of Bundle refuse it with a reason and the place; the whole stays, and can be written."""
    whole = (await served.client.put(URL, content=PATIENT, headers=FHIR_JSON)).content
    part = (await served.client.get(f"{URL}?{query}")).content
    put = await served.client.put(URL, content=part, headers=FHIR_JSON)
    assert put.status_code == 422
    (issue,) = put.json()["issue"]
    assert (issue["code"], issue["expression"]) == ("business-rule", ["Patient.meta.tag"])
    assert "SUBSETTED" in issue["diagnostics"]
    assert (await served.client.post("/fhir/Patient", content=part, headers=FHIR_JSON)).status_code == 422
    request = b'{"method":"PUT","url":"Patient/p"}'
    for kind, status in ((b"transaction", 422), (b"batch", 200)):
        bundle = b'{"resourceType":"Bundle","type":"%s","entry":[{"resource":%s,"request":%s}]}' % (kind, part, request)
        answer = await served.client.post("/fhir", content=bundle, headers=FHIR_JSON)
        assert answer.status_code == status
        if kind == b"batch":
            assert answer.json()["entry"][0]["response"]["status"].startswith("422")
    assert (await served.client.get(URL)).content == whole
    assert (await served.client.put(URL, content=whole, headers=FHIR_JSON)).status_code == 200


async def test_a_patch_cannot_make_a_part_of_a_resource(served: Served) -> None:
    """The tag would keep every later PUT of what is read from being accepted."""
    await served.client.put(URL, content=PATIENT, headers=FHIR_JSON)
    tag = b'{"meta":{"tag":[{"system":"%s","code":"SUBSETTED"}]}}' % SUBSETTED["system"].encode()
    headers = {"Content-Type": "application/merge-patch+json"}
    assert (await served.client.patch(URL, content=tag, headers=headers)).status_code == 422


async def test_validate_says_that_a_part_would_be_refused(served: Served) -> None:
    """Beside whatever else is wrong."""
    await served.client.put(URL, content=PATIENT, headers=FHIR_JSON)
    part = (await served.client.get(f"{URL}?_summary=data")).content
    answer = await served.client.post("/fhir/Patient/$validate", content=part, headers=FHIR_JSON)
    assert "business-rule" in [issue["code"] for issue in answer.json()["issue"]]


async def test_a_bundle_of_parts_is_a_whole(served: Served) -> None:
    """A searchset that somebody keeps has parts in it, and is none."""
    await served.client.put(URL, content=PATIENT, headers=FHIR_JSON)
    searchset = (await served.client.get("/fhir/Patient?_id=p&_summary=data")).content
    assert b"SUBSETTED" in searchset
    assert (await served.client.post("/fhir/Bundle", content=searchset, headers=FHIR_JSON)).status_code == 201


@pytest.mark.parametrize("system", [SUBSETTED["system"], "http://hl7.org/fhir/v3/ObservationValue"])
async def test_a_part_is_refused_where_nothing_is_validated(system: str) -> None:
    """It harms what is stored, whatever its structure; other servers' tags count, too."""
    part = {"resourceType": "Patient", "id": "p", "meta": {"tag": [{"system": system, "code": "SUBSETTED"}]}}
    async with FhirStore.open("memory:", validation="off") as store:
        with pytest.raises(RulesBroken):
            await store.tenant("default").update(part)
        await store.tenant("default").update({**part, "meta": {"tag": [{"system": "urn:x", "code": "SUBSETTED"}]}})
