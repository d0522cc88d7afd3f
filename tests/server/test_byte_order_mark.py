"""A UTF-8 byte order mark before a body is ignored, whatever the body is."""

from __future__ import annotations

import pytest

from fhirstore.fhir.json import BYTE_ORDER_MARK
from tests.server.serving import FHIR_JSON, Served

PATIENT = b'{"resourceType":"Patient","id":"p","active":true,"name":[{"family":"\\u00e9"}]}'
TRANSACTION = (
    b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":%s,"request":{"method":"PUT","url":"Patient/p"}}]}'
    % PATIENT
)
DIV = b'<div xmlns="http://www.w3.org/1999/xhtml"><p>a</p></div>'
XML = b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/><text><status value="generated"/>%s</text></Patient>' % DIV
BINARY = b'{"resourceType":"Binary","contentType":"text/plain","data":"YQ=="}'


async def test_a_resource_behind_a_byte_order_mark_is_stored_without_it(served: Served) -> None:
    """PUT, POST and a transaction; what is read back is what follows the mark."""
    put = await served.client.put("/fhir/Patient/p", content=BYTE_ORDER_MARK + PATIENT, headers=FHIR_JSON)
    assert put.status_code == 201, put.text
    assert (await served.client.get("/fhir/Patient/p")).content.startswith(b'{"resourceType":"Patient","id":"p","meta"')
    post = await served.client.post("/fhir/Patient", content=BYTE_ORDER_MARK + PATIENT, headers=FHIR_JSON)
    assert post.status_code == 201, post.text
    bundle = await served.client.post("/fhir", content=BYTE_ORDER_MARK + TRANSACTION, headers=FHIR_JSON)
    assert bundle.status_code == 200, bundle.text


async def test_xml_behind_a_byte_order_mark_is_read_with_its_narrative(served: Served) -> None:
    """The div is cut out at the right bytes."""
    headers = {"Content-Type": "application/fhir+xml"}
    put = await served.client.put("/fhir/Patient/p", content=BYTE_ORDER_MARK + XML, headers=headers)
    assert put.status_code == 201, put.text
    assert DIV.decode() == (await served.client.get("/fhir/Patient/p")).json()["text"]["div"]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json-patch+json", b'[{"op":"replace","path":"/active","value":false}]'),
        ("application/json", b'[{"op":"replace","path":"/active","value":false}]'),
        ("application/merge-patch+json", b'{"active":false}'),
    ],
)
async def test_a_patch_behind_a_byte_order_mark_is_done(served: Served, content_type: str, body: bytes) -> None:
    """Also where only the content tells which patch it is."""
    await served.client.put("/fhir/Patient/p", content=PATIENT, headers=FHIR_JSON)
    headers = {"Content-Type": content_type}
    patched = await served.client.patch("/fhir/Patient/p", content=BYTE_ORDER_MARK + body, headers=headers)
    assert patched.status_code == 200, patched.text
    assert (await served.client.get("/fhir/Patient/p")).json()["active"] is False


@pytest.mark.parametrize("content_type", ["application/json", "application/fhir+json"])
async def test_a_binary_behind_a_byte_order_mark_is_the_resource(served: Served, content_type: str) -> None:
    """It is not wrapped once more."""
    headers = {"Content-Type": content_type}
    post = await served.client.post("/fhir/Binary", content=BYTE_ORDER_MARK + BINARY, headers=headers)
    assert post.status_code == 201, post.text
    url = post.headers["location"].partition("/_history")[0]
    assert (await served.client.get(url, headers={"Accept": "text/plain"})).content == b"a"
