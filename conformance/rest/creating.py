"""create and conditional create."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, SYSTEM, Server, identified, must, patient

CREATE = "http.html#create"
CCREATE = "http.html#ccreate"


@rule(CREATE, "The server returns a 201 Created HTTP status code.")
async def create_is_201(server: Server) -> None:
    (await server.post("Patient", patient())).expect(201)


@rule(CREATE, "The server SHALL also return a Location header which contains the new Logical Id and Version Id.")
async def create_has_a_location(server: Server) -> None:
    type, id, version = (await server.post("Patient", patient())).location
    must(type == "Patient" and id and version, "the Location is not [base]/Patient/[id]/_history/[vid]")


@rule(CREATE, "Location: [base]/[type]/[id]/_history/[vid]: it can be read.")
async def the_location_can_be_read(server: Server) -> None:
    answer = await server.post("Patient", patient())
    (await server.get("/".join(answer.location[:2]) + "/_history/" + answer.location[2])).expect(200)


@rule(CREATE, "Servers SHOULD return an ETag header with the versionId.")
async def create_has_an_etag(server: Server) -> None:
    answer = await server.post("Patient", patient())
    must(answer.version == answer.location[2], "the ETag is not the version id of the Location")


@rule(CREATE, "Servers SHOULD return … a Last-Modified header.")
async def create_has_last_modified(server: Server) -> None:
    must((await server.post("Patient", patient())).last_modified > 0, "no date")


@rule(CREATE, "If an id is provided, the server SHALL ignore it.")
async def create_ignores_the_id(server: Server) -> None:
    id = server.fresh()
    must((await server.post("Patient", patient(id=id))).expect(201).location[1] != id, "the id in the body was used")


@rule(CREATE, "The resource does not need to have an id element.")
async def create_needs_no_id(server: Server) -> None:
    (await server.post("Patient", {"resourceType": "Patient"})).expect(201)


@rule(CREATE, "The server SHALL ignore the existing versionId … values.")
async def create_ignores_the_version_id(server: Server) -> None:
    made = await server.created(patient(meta={"versionId": "77"}))
    must((await server.get(made.path)).at("meta", "versionId") == made.version != "77", "versionId was taken over")


@rule(CREATE, "The server SHALL ignore the existing … lastUpdated values.")
async def create_ignores_last_updated(server: Server) -> None:
    made = await server.created(patient(meta={"lastUpdated": "1999-01-01T00:00:00Z"}))
    updated = str((await server.get(made.path)).at("meta", "lastUpdated"))
    must(not updated.startswith("1999"), "lastUpdated was taken over")


@rule(CREATE, "The server SHALL populate the id, meta.versionId and meta.lastUpdated with the new correct values.")
async def create_populates_meta(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.get(made.path)
    must(answer.at("id") == made.id, "no id")
    must(answer.at("meta", "versionId") == made.version, "no meta.versionId")
    must(answer.at("meta", "lastUpdated"), "no meta.lastUpdated")


@rule(CREATE, "Servers are allowed to alter the other metadata values, but SHOULD refrain from doing so.")
async def create_keeps_the_rest_of_meta(server: Server) -> None:
    meta = {
        "profile": ["http://example.org/StructureDefinition/one"],
        "security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R"}],
        "tag": [{"system": SYSTEM, "code": "checked"}],
        "source": "http://example.org/source",
    }
    made = await server.created(patient(meta=meta))
    answer = await server.get(made.path)
    for name, value in meta.items():
        must(answer.at("meta", name) == value, f"meta.{name} was altered")


@rule(CREATE, "A server SHOULD otherwise accept the resource as submitted and return the same content.")
async def create_keeps_the_content(server: Server) -> None:
    sent = patient(
        birthDate="1974-12-25",
        _birthDate={"extension": [{"url": "http://example.org/time", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
        contact=[{"name": {"family": "Ülkü ∆ 😀"}, "telecom": [{"system": "phone", "value": "+1"}]}],
    )
    read = (await server.get((await server.created(sent)).path)).json()
    must({name: read.get(name) for name in sent} == sent, "the content that is read is not what was sent")


@rule(
    "datatypes.html#decimal",
    "The precision of the decimal value has significance: 0.010 is regarded as different to 0.01.",
)
async def decimals_keep_their_digits(server: Server) -> None:
    body = (
        b'{"resourceType":"Observation","status":"final","code":{"text":"x"},'
        b'"valueQuantity":{"value":1.010,"unit":"kg"}}'
    )
    answer = await server.request("POST", "Observation", content=body, headers={"Content-Type": FHIR_JSON})
    read = await server.get("/".join(answer.expect(201).location[:2]))
    must(b"1.010" in read.body, "1.010 did not come back as 1.010")


@rule(CREATE, "When the resource syntax or data is incorrect or invalid the server returns a 400 Bad Request.")
async def broken_json_is_400(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=b'{"resourceType":', headers={"Content-Type": FHIR_JSON})
    answer.expect(400).outcome()


@rule("json.html", "Property names SHALL be unique.")
async def members_twice_are_refused(server: Server) -> None:
    body = b'{"resourceType":"Patient","active":true,"active":false}'
    answer = await server.request("POST", "Patient", content=body, headers={"Content-Type": FHIR_JSON})
    answer.expect(400, 422).outcome()


@rule(CREATE, "When the resource … is invalid, and cannot be used to create a new resource: an empty body.")
async def an_empty_body_is_refused(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=b"", headers={"Content-Type": FHIR_JSON})
    answer.expect(400, 422).outcome()


@rule(CREATE, "The request body SHALL be a FHIR Resource.")
async def a_body_that_is_no_resource_is_refused(server: Server) -> None:
    (await server.post("Patient", {"hello": "world"})).expect(400, 422).outcome()


@rule(CREATE, "POST [base]/[type]: the resource is of that type.")
async def another_type_is_refused(server: Server) -> None:
    (await server.post("Patient", {"resourceType": "Basic", "code": {"text": "x"}})).expect(400, 422).outcome()


@rule(CREATE, "404 Not Found - resource type not supported.")
async def create_of_an_unknown_type_is_404(server: Server) -> None:
    (await server.post("Nonsense", {"resourceType": "Nonsense"})).expect(404).outcome()


@rule(CREATE, "422 Unprocessable Entity / 400 - failed basic FHIR validation rules: an element that does not exist.")
async def unknown_elements_are_refused(server: Server) -> None:
    (await server.post("Patient", patient(favouriteColour="blue"))).expect(400, 422).outcome()


@rule("json.html#primitive", "Failed basic FHIR validation rules: a boolean is not a string.")
async def wrong_json_types_are_refused(server: Server) -> None:
    (await server.post("Patient", patient(active="true"))).expect(400, 422).outcome()


@rule(
    "terminologies.html#required",
    "To be conformant, the concept in this element SHALL be from the specified value set.",
)
async def unknown_required_codes_are_refused(server: Server) -> None:
    (await server.post("Patient", patient(gender="unspecified"))).expect(400, 422).outcome()


@rule("datatypes.html#date", "Dates SHALL be valid dates.")
async def dates_that_do_not_exist_are_refused(server: Server) -> None:
    (await server.post("Patient", patient(birthDate="2023-02-30"))).expect(400, 422).outcome()


@rule("conformance-rules.html#cardinality", "Elements with a minimum cardinality of 1 SHALL be present.")
async def missing_required_elements_are_refused(server: Server) -> None:
    (await server.post("Observation", {"resourceType": "Observation", "status": "final"})).expect(400, 422).outcome()


@rule("formats.html#choice", "Only one of the choices of value[x] is allowed.")
async def two_choices_are_refused(server: Server) -> None:
    body = patient(deceasedBoolean=True, deceasedDateTime="2020-01-01")
    (await server.post("Patient", body)).expect(400, 422).outcome()


@rule("json.html", "Objects are never empty; arrays are never empty.")
async def empty_arrays_are_refused(server: Server) -> None:
    (await server.post("Patient", patient(telecom=[]))).expect(400, 422).outcome()


@rule("operationoutcome.html", "expression: a simple subset of FHIRPath that identifies the element.")
async def the_outcome_names_the_element(server: Server) -> None:
    outcome = (await server.post("Patient", patient(birthDate="tomorrow"))).expect(400, 422).outcome()
    must("birthDate" in json.dumps(outcome.get("issue")), "no issue names Patient.birthDate")


@rule("http.html#mime-type", "415 Unsupported Media Type when the client posts a format that is not supported.")
async def an_unsupported_format_is_415(server: Server) -> None:
    answer = await server.request("POST", "Patient", content=b"a,b", headers={"Content-Type": "text/csv"})
    answer.expect(415).outcome()


@rule(
    "http.html#mime-type", "If a client provides a generic mime type (application/json), the server SHOULD accept it."
)
async def plain_json_is_accepted(server: Server) -> None:
    (await server.post("Patient", patient(), {"Content-Type": "application/json"})).expect(201)


@rule("http.html#mime-type", "UTF-8 encoding … MAY be specified as a MIME type parameter.")
async def charset_utf_8_is_accepted(server: Server) -> None:
    (await server.post("Patient", patient(), {"Content-Type": "application/fhir+json; charset=UTF-8"})).expect(201)


@rule("http.html#mime-type", "UTF-8 encoding SHALL be used.")
async def another_charset_is_refused(server: Server) -> None:
    body = '{"resourceType":"Patient","name":[{"family":"Ü"}]}'.encode("latin-1")
    answer = await server.request("POST", "Patient", content=body, headers={"Content-Type": FHIR_JSON})
    answer.expect(400, 415, 422).outcome()


@rule(CREATE, "The create interaction creates a new resource in a server-assigned location: each time.")
async def every_create_makes_another(server: Server) -> None:
    made = await asyncio.gather(*(server.created(patient()) for _ in range(10)))
    must(len({each.id for each in made}) == 10, "two creates were given one id")


@rule(CCREATE, "No matches: The server processes the create as above.")
async def conditional_create_without_a_match_is_201(server: Server) -> None:
    value = server.fresh()
    query = f"identifier={SYSTEM}|{value}"
    (await server.post("Patient", identified(value), {"If-None-Exist": query})).expect(201)


@rule(CCREATE, "One Match: The server ignores the post and returns 200 OK.")
async def conditional_create_with_a_match_is_200(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    query = f"identifier={SYSTEM}|{value}"
    answer = await server.post("Patient", identified(value), {"If-None-Exist": query})
    answer.expect(200)
    must((await server.get(made.path)).version == made.version, "the match was changed")


@rule(CCREATE, "This variant can be used to avoid the risk of two clients creating duplicate resources.")
async def conditional_creates_at_once_make_one(server: Server) -> None:
    value = server.fresh()
    headers = {"If-None-Exist": f"identifier={SYSTEM}|{value}"}
    answers = await asyncio.gather(*(server.post("Patient", identified(value), headers) for _ in range(10)))
    statuses = sorted(answer.status for answer in answers)
    must(statuses == [200] * 9 + [201], f"the statuses of ten creates at once are {statuses}")


@rule(CCREATE, "Multiple matches: The server returns a 412 Precondition Failed error.")
async def conditional_create_with_two_matches_is_412(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    await server.created(identified(value))
    headers = {"If-None-Exist": f"identifier={SYSTEM}|{value}"}
    (await server.post("Patient", identified(value), headers)).expect(412).outcome()


@rule(CCREATE, "The parameter just contains the search parameters (what would be in the URL following the ?).")
async def if_none_exist_is_percent_decoded(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    headers = {"If-None-Exist": "identifier=" + quote(f"{SYSTEM}|{value}", safe="")}
    (await server.post("Patient", identified(value), headers)).expect(200)


@rule(CCREATE, "The search is on resources that exist: a deleted one is no match.")
async def a_deleted_resource_is_no_match(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    await server.delete(made.path)
    headers = {"If-None-Exist": f"identifier={SYSTEM}|{value}"}
    (await server.post("Patient", identified(value), headers)).expect(201)


@rule("http.html#conditional-create", "A search query that the server cannot evaluate is refused, not ignored.")
async def an_unknown_criterion_is_refused(server: Server) -> None:
    answer = await server.post("Patient", patient(), {"If-None-Exist": "no-such-parameter=1"})
    must(400 <= answer.status < 600 and answer.status not in (404, 410), f"answered {answer.status}")
    answer.outcome()
