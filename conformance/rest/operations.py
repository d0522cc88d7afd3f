"""$validate and Binary."""

from __future__ import annotations

import base64

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, Json, Server, member, must, patient

VALIDATE = "resource-operation-validate.html"
BINARY = "binary.html#rest"


def errors(outcome: object) -> list[object]:
    """The issues that are errors."""
    issues = member(outcome, "issue")
    found = issues if isinstance(issues, list) else []
    return [issue for issue in found if member(issue, "severity") in ("error", "fatal")]


@rule(VALIDATE, "If the operation outcome does not list any errors, and a 200 was returned, it passed.")
async def a_valid_resource_passes(server: Server) -> None:
    outcome = (await server.post("Patient/$validate", patient())).expect(200).outcome()
    must(not errors(outcome), "a valid Patient has errors")


@rule(VALIDATE, "The operation outcome lists the errors: the server returns 200 as long as the validation was done.")
async def an_invalid_resource_does_not_pass(server: Server) -> None:
    outcome = (await server.post("Patient/$validate", patient(birthDate="soon"))).expect(200).outcome()
    must(errors(outcome), "an invalid Patient has no errors")


@rule(VALIDATE, "resource: as a parameter.")
async def validate_takes_parameters(server: Server) -> None:
    body = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient(gender="x")}]}
    must(
        errors((await server.post("Patient/$validate", body)).expect(200).outcome()), "an invalid Patient has no errors"
    )


@rule(VALIDATE, "The validate operation does not change anything.")
async def validate_stores_nothing(server: Server) -> None:
    made = await server.created(patient())
    await server.post(f"{made.path}/$validate", patient(id=made.id, active=False))
    must((await server.get(made.path)).version == made.version, "there is a new version")


@rule(
    VALIDATE,
    "profile: if this is nominated, then the resource is validated against this profile; unknown is an error.",
)
async def an_unknown_profile_is_an_error(server: Server) -> None:
    url = "Patient/$validate?profile=http://example.org/StructureDefinition/none"
    answer = (await server.post(url, patient())).expect(200, 400, 404, 422)
    must(errors(answer.outcome()), "nothing says that the profile is unknown")


@rule(BINARY, "POST of another content type: the content is stored as Binary.")
async def binary_takes_any_content(server: Server) -> None:
    content = b"\x89PNG\r\n" + bytes(range(256))
    answer = await server.request("POST", "Binary", content=content, headers={"Content-Type": "image/png"})
    path = "/".join(answer.expect(201).location[:2])
    read = (await server.get(path, {"Accept": FHIR_JSON})).expect(200)
    must(read.at("contentType") == "image/png", "contentType is not that of the request")
    must(base64.b64decode(str(read.at("data"))) == content, "data is not the content")


@rule(BINARY, "Read with another Accept: the content is returned in its own content type.")
async def binary_is_returned_as_it_is(server: Server) -> None:
    content = bytes(range(256))
    answer = await server.request("POST", "Binary", content=content, headers={"Content-Type": "image/png"})
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": "image/png"})
    must(read.expect(200).media_type == "image/png" and read.body == content, "not the content as it was sent")


@rule(BINARY, "When a read request is made with a FHIR content type in the Accept, the Binary resource is returned.")
async def binary_is_a_resource_too(server: Server) -> None:
    body: Json = {"resourceType": "Binary", "contentType": "text/plain", "data": base64.b64encode(b"hello").decode()}
    made = await server.created(body)
    must((await server.get(made.path)).resource("Binary").get("data") == body["data"], "another data")


@rule(BINARY, "X-Security-Context … is kept as Binary.securityContext.")
async def binary_keeps_its_security_context(server: Server) -> None:
    made = await server.created(patient())
    headers = {"Content-Type": "text/plain", "X-Security-Context": made.path}
    answer = await server.request("POST", "Binary", content=b"hello", headers=headers)
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": FHIR_JSON})
    must(str(read.at("securityContext", "reference")).endswith(made.path), "securityContext is not the header's")


@rule(BINARY, "PUT of another content type.")
async def binary_is_updated_with_any_content(server: Server) -> None:
    id = server.fresh()
    headers = {"Content-Type": "text/plain"}
    (await server.request("PUT", f"Binary/{id}", content=b"one", headers=headers)).expect(201)
    (await server.request("PUT", f"Binary/{id}", content=b"two", headers=headers)).expect(200)
    must((await server.get(f"Binary/{id}", {"Accept": "text/plain"})).body == b"two", "not the new content")


@rule(
    BINARY,
    "… the data is accepted as is and treated as the content of a Binary, including when the content type is "
    "application/fhir+xml or application/fhir+json, except … where the content is actually a Binary resource.",
)
async def fhir_that_is_no_binary_is_content(server: Server) -> None:
    content = b'{"resourceType":"Patient",  "active":true}'
    answer = await server.request("POST", "Binary", content=content, headers={"Content-Type": FHIR_JSON})
    read = await server.get("/".join(answer.expect(201).location[:2]), {"Accept": "*/*"})
    must(read.expect(200).body == content, "not the content as it was sent")


@rule(
    BINARY,
    "When a read request is made for the binary resource that doesn't explicitly specify the FHIR content types …, "
    "then the content should be returned using the content type stated in the resource.",
)
async def long_content_is_the_same_in_both_forms(server: Server) -> None:
    content = bytes(range(256)) * 8_192 + b"end"
    answer = await server.request("POST", "Binary", content=content, headers={"Content-Type": "image/png"})
    path = "/".join(answer.expect(201).location[:2])
    must(
        (await server.get(path, {"Accept": "image/png"})).expect(200).body == content, "not the content as it was sent"
    )
    read = (await server.get(path, {"Accept": FHIR_JSON})).expect(200)
    must(base64.b64decode(str(read.at("data"))) == content, "data is not the content")
