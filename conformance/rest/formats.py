"""Content negotiation: JSON and XML, Accept, _format, _pretty, charset, fhirVersion, compression."""

from __future__ import annotations

import gzip
import json

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, Server, must, patient

MIME = "http.html#mime-type"
PARAMETERS = "http.html#parameters"
XML = "application/fhir+xml"
PATIENT_XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<Patient xmlns="http://hl7.org/fhir"><text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml"><p>An
<b>exact</b> narrative &amp; more</p></div></text><active value="true"/><name><family value="Xml"/><given value="A"/>
<given value="B"/></name><deceasedBoolean value="false"/><multipleBirthInteger value="2"/></Patient>"""


@rule(MIME, "The formal MIME-type … application/fhir+xml … SHALL be used.")
async def xml_on_demand(server: Server) -> None:
    made = await server.created(patient())
    answer = (await server.get(made.path, {"Accept": XML})).expect(200)
    must(answer.media_type == XML, f"the Content-Type is {answer.media_type}")
    must(b"http://hl7.org/fhir" in answer.body and b"<Patient" in answer.body, "the body is no Patient in FHIR XML")


@rule("xml.html", "The XML elements: attributes value, the narrative in the XHTML namespace.")
async def xml_is_accepted(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=PATIENT_XML, headers={"Content-Type": XML})
    read = (await server.get("/".join(answer.expect(201).location[:2]))).expect(200)
    must(read.at("name") == [{"family": "Xml", "given": ["A", "B"]}], "name is not what the XML says")
    must(read.at("active") is True and read.at("multipleBirthInteger") == 2, "primitives have another type in JSON")


@rule("narrative.html", "The narrative … SHALL be preserved: XHTML.")
async def xml_narrative_is_kept(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=PATIENT_XML, headers={"Content-Type": XML})
    div = str((await server.get("/".join(answer.expect(201).location[:2]))).at("text", "div"))
    must("<b>exact</b> narrative &amp; more" in div and div.startswith("<div"), "the narrative was changed")


@rule("datatypes.html#decimal", "The precision of the decimal value has significance (in XML as in JSON).")
async def xml_decimals_keep_their_digits(server: Server) -> None:
    body = (
        b'<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code>'
        b'<valueQuantity><value value="1.010"/></valueQuantity></Observation>'
    )
    answer = await server.request("POST", "Observation", content=body, headers={"Content-Type": XML})
    path = "/".join(answer.expect(201).location[:2])
    must(b"1.010" in (await server.get(path)).body, "JSON does not say 1.010")
    must(b'"1.010"' in (await server.get(path, {"Accept": XML})).body, "XML does not say 1.010")


@rule(
    "https://owasp.org/www-community/vulnerabilities/XML_External_Entity_(XXE)_Processing",
    "External entities MUST NOT be resolved.",
)
async def external_entities_are_refused(server: Server) -> None:
    body = (
        b'<?xml version="1.0"?><!DOCTYPE p [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        b'<Patient xmlns="http://hl7.org/fhir"><name><family value="&e;"/></name></Patient>'
    )
    answer = await server.request("POST", "Patient", content=body, headers={"Content-Type": XML})
    must(400 <= answer.status < 500, f"answered {answer.status}")


@rule("http.html#create", "400 Bad Request - resource could not be parsed: XML too.")
async def broken_xml_is_400(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=b"<Patient", headers={"Content-Type": XML})
    answer.expect(400).outcome()


@rule("xml.html", "The namespace is http://hl7.org/fhir; an element that does not exist is an error.")
async def unknown_xml_elements_are_refused(server: Server) -> None:
    body = b'<Patient xmlns="http://hl7.org/fhir"><colour value="blue"/></Patient>'
    answer = await server.request("POST", "Patient", content=body, headers={"Content-Type": XML})
    answer.expect(400, 422).outcome()


@rule(
    "http.html#summary",
    "All requests may include an optional Accept header to indicate the format used for the response.",
)
async def errors_come_in_xml_too(server: Server) -> None:
    answer = (await server.get(f"Patient/{server.fresh()}", {"Accept": XML})).expect(404)
    must(answer.media_type == XML and b"OperationOutcome" in answer.body, "the error is not FHIR XML")


@rule("http.html#summary", "All requests … : a history.")
async def a_history_comes_in_xml_too(server: Server) -> None:
    made = await server.created(patient())
    answer = (await server.get(f"{made.path}/_history", {"Accept": XML})).expect(200)
    must(answer.media_type == XML and b"<Bundle" in answer.body, "the history is not FHIR XML")


@rule(
    MIME,
    "If a client provides a generic mime type (application/xml) the server SHOULD respond with the requested "
    "mime type.",
)
async def generic_xml(server: Server) -> None:
    made = await server.created(patient())
    must("xml" in (await server.get(made.path, {"Accept": "application/xml"})).expect(200).media_type, "not XML")


@rule(MIME, "If a client provides a generic mime type (application/json) the server SHOULD respond with JSON.")
async def generic_json(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"Accept": "application/json"})).expect(200).resource("Patient")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1", "Accept: quality values give preference.")
async def q_values_are_heeded(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(made.path, {"Accept": f"{FHIR_JSON};q=0.2, {XML};q=0.9"})
    must(answer.expect(200).media_type == XML, "the less wanted format was sent")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2", "A quality value of 0 means not acceptable.")
async def q_of_zero_means_no(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(made.path, {"Accept": f"{FHIR_JSON};q=0, {XML}"})
    must(answer.expect(200).media_type == XML, "the refused format was sent")


@rule(MIME, "406 Not Acceptable is the appropriate response when the Accept header requests a format not supported.")
async def an_unacceptable_format_is_406(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"Accept": "image/png"})).expect(406)


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1",
    "A request without any Accept header field implies any media type.",
)
async def any_format_will_do(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"Accept": "*/*"})).expect(200)


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1", "Browsers: text/html first, */* last.")
async def a_browser_gets_an_answer(server: Server) -> None:
    made = await server.created(patient())
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
    (await server.get(made.path, {"Accept": accept})).expect(200)


@rule(
    PARAMETERS,
    "_format: xml, text/xml, application/xml, and application/fhir+xml SHALL be interpreted to mean the XML format.",
)
async def format_xml(server: Server) -> None:
    made = await server.created(patient())
    for value in ("xml", "text/xml", "application/xml", "application/fhir%2Bxml"):
        answer = (await server.get(f"{made.path}?_format={value}")).expect(200)
        must("xml" in answer.media_type, f"_format={value} gave {answer.media_type}")


@rule(
    PARAMETERS,
    "_format: json, application/json and application/fhir+json SHALL be interpreted to mean the JSON format.",
)
async def format_json(server: Server) -> None:
    made = await server.created(patient())
    for value in ("json", "application/json", "application/fhir%2Bjson"):
        (await server.get(f"{made.path}?_format={value}", {"Accept": XML})).expect(200).resource("Patient")


@rule(PARAMETERS, "This parameter allows a client to override the accept header value.")
async def format_overrides_accept(server: Server) -> None:
    made = await server.created(patient())
    for accept in (XML, "text/html", "image/png"):
        answer = await server.get(f"{made.path}?_format=json", {"Accept": accept})
        must("json" in answer.expect(200).media_type, "the Accept header went before _format")


@rule(PARAMETERS, "A _format that the server does not know: 406.")
async def an_unknown_format_is_406(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(f"{made.path}?_format=cuneiform")).expect(406)


@rule(PARAMETERS, "The _format parameter does not override the Content-Type header for the type of the body of a POST.")
async def format_is_not_the_bodys(server: Server) -> None:
    (await server.post("Patient?_format=xml", patient())).expect(201)


@rule(PARAMETERS, "Clients that wish to request for pretty-printed resources can use the _pretty parameter.")
async def pretty_is_indented(server: Server) -> None:
    made = await server.created(patient())
    answer = (await server.get(f"{made.path}?_pretty=true")).expect(200)
    must(b"\n" in answer.body.strip(), "the JSON has no lines")


@rule(PARAMETERS, "Pretty printed or not makes no difference to the content.")
async def pretty_is_the_same(server: Server) -> None:
    made = await server.created(patient())
    pretty, plain = await server.get(f"{made.path}?_pretty=true"), await server.get(f"{made.path}?_pretty=false")
    must(pretty.json() == plain.json(), "the content differs")


@rule("http.html#version-parameter", "Accept: application/fhir+json; fhirVersion=4.0.")
async def the_fhir_version_of_the_server_is_accepted(server: Server) -> None:
    made = await server.created(patient())
    version = str((await server.get("metadata")).at("fhirVersion"))
    accept = f"{FHIR_JSON}; fhirVersion={'.'.join(version.split('.')[:2])}"
    (await server.get(made.path, {"Accept": accept})).expect(200)


@rule("http.html#version-parameter", "It applies to the entire interaction: another version is not acceptable.")
async def another_fhir_version_is_406(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"Accept": f"{FHIR_JSON}; fhirVersion=1.0"})).expect(406)


@rule("http.html#version-parameter", "… may be used on the Content-Type header.")
async def content_of_another_fhir_version_is_415(server: Server) -> None:
    (await server.post("Patient", patient(), {"Content-Type": f"{FHIR_JSON}; fhirVersion=1.0"})).expect(400, 415)


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3", "Accept-Encoding: gzip.")
async def large_answers_are_compressed(server: Server) -> None:
    made = await server.created(patient(name=[{"family": "a" * 200, "text": str(number)} for number in range(50)]))
    answer = (await server.get(made.path, {"Accept-Encoding": "gzip"})).expect(200)
    must(answer.headers.get("content-encoding") == "gzip", "10 kB were not compressed")
    answer.resource("Patient")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3", "identity is acceptable unless it is excluded.")
async def nothing_is_compressed_unasked(server: Server) -> None:
    made = await server.created(patient(name=[{"family": "a" * 200, "text": str(number)} for number in range(50)]))
    answer = (await server.get(made.path, {"Accept-Encoding": "identity"})).expect(200)
    must("content-encoding" not in answer.headers, "it was compressed all the same")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-8.4", "Content-Encoding of a request: gzip.")
async def compressed_requests_are_read(server: Server) -> None:
    content = gzip.compress(json.dumps(patient(gender="other")).encode())
    headers = {"Content-Type": FHIR_JSON, "Content-Encoding": "gzip"}
    answer = (await server.request("POST", "Patient", content=content, headers=headers)).expect(201)
    must((await server.get("/".join(answer.location[:2]))).at("gender") == "other", "the content differs")


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.16",
    "415: the problem may be the request's Content-Encoding.",
)
async def an_unknown_content_encoding_is_415(server: Server) -> None:
    answer = await server.post("Patient", patient(), {"Content-Encoding": "rot13"})
    answer.expect(415)
