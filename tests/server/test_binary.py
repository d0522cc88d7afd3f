"""A Binary is a resource to those who speak FHIR and a file to everybody else, in both directions."""

from __future__ import annotations

import base64
import json

import httpx
import pytest

from tests.server.serving import FHIR_JSON, Served

PDF = b"%PDF-1.4 \x00\xff\r\n" * 50
AS_FHIR = {"Accept": "application/fhir+json"}


async def put(served: Served, content: bytes, content_type: str, **headers: str) -> httpx.Response:
    sent = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await served.client.put("/fhir/Binary/b", content=content, headers=sent)
    assert answer.status_code in (200, 201), answer.text
    return answer


async def get(served: Served, accept: str | None, query: str = "") -> httpx.Response:
    headers = {} if accept is None else {"Accept": accept}
    request = served.client.build_request("GET", f"/fhir/Binary/b{query}", headers=headers)
    if accept is None:
        del request.headers["accept"]
    answer = await served.client.send(request)
    assert answer.status_code == 200, answer.text
    return answer


async def test_content_goes_in_and_comes_out(served: Served) -> None:
    """PUT and POST of a PDF; it comes back byte for byte, with the headers that stand for its metadata."""
    for answer in (
        await put(served, PDF, "application/pdf"),
        await served.client.post("/fhir/Binary", content=PDF, headers={"Content-Type": "application/pdf"}),
    ):
        back = await served.client.get(answer.headers["location"], headers={"Accept": "application/pdf"})
        assert back.status_code == 200
        assert back.content == PDF
        assert back.headers["content-type"] == "application/pdf"
        assert int(back.headers["content-length"]) == len(PDF)
        assert back.headers["etag"] == '"1"'
        assert back.headers["accept-ranges"] == "bytes"
        assert back.headers["content-disposition"].startswith('attachment; filename="Binary-')
        assert back.headers["last-modified"]
        assert back.headers["x-content-type-options"] == "nosniff"


async def test_between_it_is_a_resource(served: Served) -> None:
    """With FHIR's media type in Accept, or `_format`, it is a Binary with contentType and data."""
    await put(served, PDF, "application/pdf")
    for answer in (await get(served, "application/fhir+json"), await get(served, "application/pdf", "?_format=json")):
        resource = answer.json()
        assert (resource["resourceType"], resource["id"], resource["contentType"]) == ("Binary", "b", "application/pdf")
        assert base64.b64decode(resource["data"]) == PDF
        assert answer.headers["content-type"].startswith("application/fhir+json")
    xml = await get(served, "application/fhir+xml")
    assert xml.content.startswith(b"<?xml")
    assert base64.b64encode(PDF) in xml.content


@pytest.mark.parametrize(
    ("accept", "native"),
    [
        (None, True),
        ("*/*", True),
        ("application/pdf", True),
        ("image/png", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("application/fhir+json", False),
        ("application/fhir+json, */*;q=0.1", False),
        ("application/pdf, application/fhir+xml;q=0.5", True),
        ("application/pdf;q=0.5, application/fhir+xml;q=0.5", False),
        ("image/png, application/fhir+xml;q=0.5", False),
        ("application/fhir+json;q=0, application/pdf", True),
        ("application/json", False),
        ("application/xml", False),
    ],
)
async def test_accept_decides(served: Served, accept: str | None, native: bool) -> None:
    """ "Unless specifically requested, the FHIR XML/JSON representation is not returned." """
    await put(served, PDF, "application/pdf")
    assert ((await get(served, accept)).content == PDF) is native


async def test_a_generic_type_means_the_content_if_it_is_that(served: Served) -> None:
    """ "if the Accept header is application/json, and the contentType is vnd.xacml+json" """
    await put(served, b'{"a":1}', "application/vnd.xacml+json")
    assert (await get(served, "application/json")).content == b'{"a":1}'
    assert b"Binary" in (await get(served, "application/xml")).content


async def test_other_resources_in_fhirs_types_are_content(served: Served) -> None:
    """ "accepted as is …, including when the content type is application/fhir+json", except for a Binary itself."""
    for content, content_type in (
        (b'{"resourceType":"Patient", "active":true}', "application/fhir+json"),
        (b'[1, 2, "resourceType"]', "application/json"),
        (b"not json", "application/json"),
        (b'<Patient xmlns="http://hl7.org/fhir"/>', "application/fhir+xml"),
        (b"<Binary", "text/xml"),
    ):
        await put(served, content, content_type)
        answer = await get(served, None)
        assert (answer.content, answer.headers["content-type"]) == (content, content_type)
    data = base64.b64encode(PDF).decode()
    xml = '<?xml version="1.0"?><!-- x --><Binary xmlns="http://hl7.org/fhir"><id value="b"/><contentType value="a/b"/>'
    await put(served, f'{xml}<data value="{data}"/></Binary>'.encode(), "application/fhir+xml")
    assert (await get(served, None)).content == PDF
    resource = {"resourceType": "Binary", "id": "b", "contentType": "x/y", "data": data}
    await put(served, json.dumps(resource).encode(), "application/fhir+json")
    answer = await get(served, None)
    assert (answer.content, answer.headers["content-type"]) == (PDF, "x/y")


async def test_broken_fhir_is_not_taken_for_content(served: Served) -> None:
    """JSON that calls itself FHIR and is not even JSON is refused."""
    answer = await served.client.put("/fhir/Binary/b", content=b'{"resourceType":"Binary",', headers=FHIR_JSON)
    assert answer.status_code == 400


@pytest.mark.parametrize("query", ["_summary=true", "_elements=contentType", "_pretty=true", "_format=json"])
async def test_parts_and_forms_are_those_of_the_resource(served: Served, query: str) -> None:
    """Content has no elements, so who asks for some means the resource."""
    await put(served, PDF, "application/pdf")
    answer = await get(served, "application/pdf", f"?{query}")
    assert answer.json()["resourceType"] == "Binary"


async def test_a_binary_resource_has_its_security_context_inside(served: Served) -> None:
    """A header beside it is refused, and not passed over: somebody relies on it."""
    body = b'{"resourceType":"Binary","id":"b","contentType":"text/plain","data":"aGk="}'
    headers = {"Content-Type": "application/fhir+json", "X-Security-Context": "Patient/p"}
    answer = await served.client.put("/fhir/Binary/b", content=body, headers=headers)
    assert answer.status_code == 400
    assert "securityContext" in answer.json()["issue"][0]["diagnostics"]


async def test_the_security_context_is_a_header(served: Served) -> None:
    """X-Security-Context becomes Binary.securityContext.reference, and comes back with the content."""
    await put(served, PDF, "application/pdf", X_Security_Context="Patient/p")
    assert (await get(served, "application/fhir+json")).json()["securityContext"] == {"reference": "Patient/p"}
    assert (await get(served, "*/*")).headers["x-security-context"] == "Patient/p"
    headers = {"Content-Type": "application/pdf", "X-Security-Context": "not a reference"}
    answer = await served.client.put("/fhir/Binary/b", content=PDF, headers=headers)
    assert answer.status_code in (400, 422)


async def test_large_content_streams(served: Served) -> None:
    """A body of megabytes comes back in pieces, whole; HEAD tells its size; a 304 costs no content.

    Nobody packs what is a file of its own, though httpx takes gzip and br.
    """
    content = bytes(range(256)) * 12_345
    await put(served, content, "application/octet-stream")
    answer = await get(served, "*/*")
    assert answer.content == content
    head = await served.client.head("/fhir/Binary/b")
    assert int(head.headers["content-length"]) == len(content)
    cached = await served.client.get("/fhir/Binary/b", headers={"If-None-Match": answer.headers["etag"]})
    assert (cached.status_code, cached.content) == (304, b"")


async def test_versions_and_parameters_of_content_types(served: Served) -> None:
    """An older version has its own content; a charset stays with its type."""
    await put(served, "grün".encode("latin-1"), "text/plain; charset=iso-8859-1")
    await put(served, b"two", "text/plain")
    first = await served.client.get("/fhir/Binary/b/_history/1")
    assert first.content.decode("latin-1") == "grün"
    assert first.headers["content-type"] == "text/plain; charset=iso-8859-1"
    assert (await get(served, None)).content == b"two"


async def test_pages_cannot_act_as_the_server(served: Served) -> None:
    """Stored HTML and SVG are shown in a sandbox."""
    await put(served, b"<script>alert(1)</script>", "text/html")
    assert (await get(served, "text/html")).headers["content-security-policy"].endswith("; sandbox")


async def test_what_is_no_media_type_is_refused(served: Served) -> None:
    """A Content-Type that could not be given back as a header does not get in."""
    answer = await served.client.put("/fhir/Binary/b", content=b"x", headers={"Content-Type": "nonsense"})
    assert answer.status_code == 415


async def test_errors_are_fhir_whatever_was_accepted(served: Served) -> None:
    """A Binary that is not there: 404 with an OperationOutcome; FHIR of another release is 406."""
    missing = await served.client.get("/fhir/Binary/none", headers={"Accept": "application/pdf"})
    assert missing.status_code == 404
    assert missing.json()["resourceType"] == "OperationOutcome"
    other = {"Accept": "application/fhir+json; fhirVersion=5.0"}
    assert (await served.client.get("/fhir/Binary/none", headers=other)).status_code == 406
    assert (await served.client.get("/fhir/Patient/none", headers={"Accept": "application/pdf"})).status_code == 406
