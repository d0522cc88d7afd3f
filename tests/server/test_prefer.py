"""`Prefer` says how much a write answers (https://hl7.org/fhir/R4/http.html#return)."""

from __future__ import annotations

import pytest

from tests.server.serving import FHIR_JSON, Served

BODY = b'{"resourceType":"Patient","id":"p","active":true}'


@pytest.mark.parametrize(
    "prefer", ["return=minimal", "return=Minimal", 'return="minimal"', "respond-async, return=minimal; x=1"]
)
async def test_minimal_is_all_headers_and_no_body(served: Served, prefer: str) -> None:
    """create and update: where the version is, which one, and when it was made."""
    headers = FHIR_JSON | {"Prefer": prefer}
    for method, path, status in (
        ("POST", "/fhir/Patient", 201),
        ("PUT", "/fhir/Patient/p", 201),
        ("PUT", "/fhir/Patient/p", 200),
    ):
        answer = await served.client.request(method, path, content=BODY, headers=headers)
        assert (answer.status_code, answer.content) == (status, b"")
        assert answer.headers["preference-applied"] == "return=minimal"
        assert {"etag", "last-modified", "location"} <= set(answer.headers)
        assert "content-type" not in answer.headers
        stored = await served.client.get(answer.headers["location"])
        assert stored.headers["etag"] == answer.headers["etag"]


async def test_representation_is_the_resource(served: Served) -> None:
    """As without a preference, and it says so."""
    plain = await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    assert "preference-applied" not in plain.headers
    answer = await served.client.put(
        "/fhir/Patient/p", content=BODY, headers=FHIR_JSON | {"Prefer": "return=representation"}
    )
    assert answer.json()["meta"]["versionId"] == "2"
    assert answer.headers["preference-applied"] == "return=representation"
    assert answer.headers["content-location"] == answer.headers["location"]


@pytest.mark.parametrize("form", ["json", "xml"])
async def test_an_operation_outcome_is_given_where_it_is_preferred(served: Served, form: str) -> None:
    """Informational, in the form that is wanted; for deletions, too."""
    headers = FHIR_JSON | {"Prefer": "return=OperationOutcome"}
    made = await served.client.post(f"/fhir/Patient?_format={form}", content=BODY, headers=headers)
    assert (made.status_code, made.headers["etag"]) == (201, 'W/"1"')
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    for answer in (
        made,
        await served.client.delete(f"/fhir/Patient/p?_format={form}", headers=headers),
        await served.client.delete(f"/fhir/Patient/p?_format={form}", headers=headers),
    ):
        assert answer.status_code in (200, 201)
        assert answer.headers["preference-applied"] == "return=OperationOutcome"
        assert "OperationOutcome" in answer.text and "information" in answer.text
        assert answer.headers["content-type"] == f"application/fhir+{form}; charset=utf-8"


@pytest.mark.parametrize("prefer", ["", "return=", "return=everything", "=minimal", ";;,,", "minimal"])
async def test_what_is_not_known_is_passed_over(served: Served, prefer: str) -> None:
    """As RFC 7240 asks for."""
    answer = await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON | {"Prefer": prefer})
    assert answer.json()["active"] is True
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize("path", ["/fhir/Patient?_id=p", "/fhir/Patient/_history"])
async def test_handling_is_told_as_applied(served: Served, path: str) -> None:
    """Where there are parameters to handle: in searches and histories."""
    for handling in ("strict", "lenient"):
        answer = await served.client.get(path, headers={"Prefer": f"handling={handling}"})
        assert answer.headers["preference-applied"] == f"handling={handling}"
    assert "preference-applied" not in (await served.client.get(path)).headers
