"""The XML format, rule by rule, and Binary where it meets the formats."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, Answer, Broken, Json, Server, must, patient

PAGE = "xml.html"
BINARY = "binary.html#rest"
XML = "application/fhir+xml"
FHIR = "{http://hl7.org/fhir}"
BIRTH_TIME = "http://hl7.org/fhir/StructureDefinition/patient-birthTime"


async def sent(server: Server, content: str, *, type: str = "Patient") -> str:
    """POST this content of a resource as XML; the path of what was made."""
    body = f'<{type} xmlns="http://hl7.org/fhir">{content}</{type}>'.encode()
    answer = await server.request("POST", type, content=body, headers={"Content-Type": XML})
    return "/".join(answer.expect(201).location[:2])


async def refused(server: Server, body: bytes) -> Answer:
    """POST a Patient in XML that must not be taken."""
    answer = await server.request("POST", "Patient", content=body, headers={"Content-Type": XML})
    must(400 <= answer.status < 500, f"{answer.asked} answered {answer.status}")
    return answer


async def in_xml(server: Server, path: str) -> ElementTree.Element:
    """The resource at this path in XML, parsed."""
    body = (await server.get(path, {"Accept": XML})).expect(200).body
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - the server under test was chosen by the caller
    except ElementTree.ParseError as error:
        raise Broken("The answer is not well-formed XML") from error


@rule(PAGE, "Elements must always appear in the order documented.")
async def elements_are_in_order(server: Server) -> None:
    made = await server.created({"resourceType": "Patient", "birthDate": "1974", "name": [{"given": ["A"]}]})
    names = [child.tag.removeprefix(FHIR) for child in await in_xml(server, made.path)]
    must(names.index("name") < names.index("birthDate"), f"the order is {names}")
    must(names[0] == "id", "the first element is not the id")


@rule(PAGE, "A few properties are represented as attributes: … extension URLs in the url attribute.")
async def extensions_have_an_attribute(server: Server) -> None:
    extension: Json = {"url": "http://example.org/x", "valueCode": "y"}
    root = await in_xml(server, (await server.created(patient(extension=[extension]))).path)
    found = root.find(f"{FHIR}extension")
    must(found is not None and found.get("url") == "http://example.org/x", "no attribute url")


@rule("json.html#primitive", "If the value has an id attribute, or extensions, then this is represented as _birthDate.")
async def extensions_of_primitives_come_from_xml(server: Server) -> None:
    extension = f'<extension url="{BIRTH_TIME}"><valueDateTime value="1974-12-25T14:35:45Z"/></extension>'
    path = await sent(server, f'<birthDate id="b" value="1974-12-25">{extension}</birthDate>')
    read = await server.get(path)
    must(read.at("birthDate") == "1974-12-25" and read.at("_birthDate", "id") == "b", "no birthDate and _birthDate")
    must(read.at("_birthDate", "extension", 0, "url") == BIRTH_TIME, "the extension is not in _birthDate")


@rule(
    "json.html#primitive", "Null values are used to fill out both arrays, so that the id and/or extension are aligned."
)
async def arrays_of_primitives_are_padded(server: Server) -> None:
    path = await sent(server, '<name><given value="A"/><given id="x" value="B"/></name>')
    read = await server.get(path)
    must(read.at("name", 0, "given") == ["A", "B"], "given is not the two values")
    must(read.at("name", 0, "_given") == [None, {"id": "x"}], "_given is not padded with null")


@rule(PAGE, "XML comments, processing instructions and formatting are not part of the contents of a resource.")
async def comments_are_no_content(server: Server) -> None:
    path = await sent(server, '<!-- c --><?pi x?>\n  <active value="true"/>\n')
    must((await server.get(path)).at("active") is True, "the Patient is not active")


@rule(PAGE, "FHIR elements are always in the namespace http://hl7.org/fhir: whichever prefix stands for it.")
async def prefixes_are_read(server: Server) -> None:
    body = b'<f:Patient xmlns:f="http://hl7.org/fhir"><f:active value="true"/></f:Patient>'
    answer = (await server.request("POST", "Patient", content=body, headers={"Content-Type": XML})).expect(201)
    must((await server.get("/".join(answer.location[:2]))).at("active") is True, "the Patient is not active")


@rule(PAGE, "FHIR elements are always in the namespace http://hl7.org/fhir: no other will do.")
async def other_namespaces_are_refused(server: Server) -> None:
    for body in (b'<Patient xmlns="urn:hl7-org:v3"/>', b"<Patient/>"):
        (await refused(server, body)).outcome()


@rule(PAGE, "There SHALL be no DTD references in FHIR resources.")
async def document_types_are_refused(server: Server) -> None:
    (await refused(server, b'<!DOCTYPE Patient><Patient xmlns="http://hl7.org/fhir"/>')).outcome()


@rule(PAGE, "FHIR elements are never empty.")
async def empty_elements_are_refused(server: Server) -> None:
    (await refused(server, b'<Patient xmlns="http://hl7.org/fhir"><name/></Patient>')).outcome()


@rule(PAGE, "XML resources SHALL be exchanged using UTF-8 encoding.")
async def text_is_utf_8(server: Server) -> None:
    path = await sent(server, '<name><text value="Grüße 你好 🙂 &lt;&amp;&gt; &quot;&#10;&quot;"/></name>')
    must((await server.get(path)).at("name", 0, "text") == 'Grüße 你好 🙂 <&> "\n"', "the text is another in JSON")
    root = await in_xml(server, path)
    text = root.find(f"{FHIR}name/{FHIR}text")
    must(text is not None and text.get("value") == 'Grüße 你好 🙂 <&> "\n"', "the text is another in XML")


@rule("references.html#contained", "Contained resources: in XML each in an element of its own.")
async def contained_resources_survive(server: Server) -> None:
    held = '<contained><Organization><id value="o"/><name value="O"/></Organization></contained>'
    path = await sent(server, f'{held}<managingOrganization><reference value="#o"/></managingOrganization>')
    read = await server.get(path)
    must(read.at("contained", 0, "resourceType") == "Organization", "contained is no Organization in JSON")
    must((await in_xml(server, path)).find(f"{FHIR}contained/{FHIR}Organization") is not None, "nor in XML")


@rule(BINARY, "_format overrides the accept header and SHALL be interpreted as using the standard FHIR mime types.")
async def format_means_the_resource(server: Server) -> None:
    answer = await server.request("POST", "Binary", content=b"hello", headers={"Content-Type": "text/plain"})
    path = "/".join(answer.expect(201).location[:2])
    (await server.get(f"{path}?_format=json", {"Accept": "text/plain"})).expect(200).resource("Binary")


@rule(BINARY, "Unless specifically requested, the FHIR XML/JSON representation is not returned.")
async def anything_means_the_content(server: Server) -> None:
    answer = await server.request("POST", "Binary", content=b"hello", headers={"Content-Type": "text/plain"})
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": "*/*"})
    must(read.expect(200).body == b"hello", "not the content as it was sent")


@rule(
    BINARY, "Binary.meta.versionId: ETag. Binary.meta.lastUpdated: Last-Modified. securityContext: X-Security-Context."
)
async def headers_stand_for_metadata(server: Server) -> None:
    headers = {"Content-Type": "text/plain", "X-Security-Context": (await server.created(patient())).path}
    answer = await server.request("POST", "Binary", content=b"hello", headers=headers)
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": "text/plain"})
    must(read.expect(200).content_version and read.last_modified, "no ETag or Last-Modified")
    must(read.header("X-Security-Context") == headers["X-Security-Context"], "another X-Security-Context")


@rule(BINARY, "Data … is treated as the content of a Binary, including when the content type is application/fhir+json.")
async def other_resources_are_content(server: Server) -> None:
    content = b'{"resourceType":"Patient","active":true}'
    answer = await server.request("POST", "Binary", content=content, headers={"Content-Type": FHIR_JSON})
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": FHIR_JSON})
    must(base64.b64decode(str(read.expect(200).at("data"))) == content, "data is not the content")


@rule(BINARY, "The Binary resource is always represented in the native FHIR format when wrapped in a Bundle.")
async def bundles_hold_the_resource(server: Server) -> None:
    answer = await server.request("POST", "Binary", content=b"hello", headers={"Content-Type": "text/plain"})
    path = "/".join(answer.expect(201).location[:2])
    (entry,) = (await server.get(f"{path}/_history")).expect(200).bundle("history")
    resource = entry.get("resource")
    must(isinstance(resource, dict) and resource.get("data") == "aGVsbG8=", "the entry holds no Binary with data")
