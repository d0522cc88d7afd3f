"""What is returned: Prefer, _summary, _elements, and the headers of every answer."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.server import Answer, Json, Server, member, must, patient

PREFER = "http.html#prefer"
SUMMARY = "search.html#summary"
ELEMENTS = "search.html#elements"
CUSTOM = "http.html#custom"
NARRATIVE = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">One</div>'}


def subsetted(answer: Answer) -> bool:
    """Whether the resource is marked as a subset."""
    tags = answer.at("meta", "tag")
    return isinstance(tags, list) and any(member(tag, "code") == "SUBSETTED" for tag in tags)


async def full(server: Server) -> str:
    """The path of a Patient with narrative, gender and contact."""
    body = patient(text=NARRATIVE, gender="male", contact=[{"name": {"text": "Two"}}])
    return (await server.created(body)).path


@rule(PREFER, "return=minimal asks to return no body.")
async def minimal_has_no_body(server: Server) -> None:
    answer = (await server.post("Patient", patient(), {"Prefer": "return=minimal"})).expect(201)
    must(not answer.body and answer.location[1], "there is a body, or no Location")


@rule(PREFER, "return=representation asks to return the full resource.")
async def representation_has_the_resource(server: Server) -> None:
    answer = (await server.post("Patient", patient(), {"Prefer": "return=representation"})).expect(201)
    must(answer.resource("Patient").get("id") == answer.location[1], "the body is not what was created")


@rule(PREFER, "return=OperationOutcome asks the server to return an OperationOutcome.")
async def operation_outcome_on_demand(server: Server) -> None:
    (await server.post("Patient", patient(), {"Prefer": "return=OperationOutcome"})).expect(201).outcome()


@rule(PREFER, "In the absence of the header … (but not the OperationOutcome; only if explicitly requested).")
async def no_operation_outcome_unasked(server: Server) -> None:
    answer = (await server.post("Patient", patient())).expect(201)
    must(not answer.body or answer.at("resourceType") == "Patient", "an OperationOutcome was returned")


@rule(PREFER, "Servers SHOULD honor this header: on update.")
async def update_honors_prefer(server: Server) -> None:
    made = await server.created(patient())
    must(not (await server.put(made.path, patient(id=made.id), {"Prefer": "return=minimal"})).body, "there is a body")
    answer = await server.put(made.path, patient(id=made.id), {"Prefer": "return=OperationOutcome"})
    answer.expect(200).outcome()


@rule(PREFER, "Servers SHOULD honor this header: on patch.")
async def patch_honors_prefer(server: Server) -> None:
    made = await server.created(patient())
    operations = [{"op": "replace", "path": "/active", "value": False}]
    kind = "application/json-patch+json"
    answer = await server.patch(made.path, operations, kind, {"Prefer": "return=representation"})
    must(answer.expect(200).resource("Patient").get("active") is False, "the body is not what was patched")


@rule(
    PREFER,
    "This setting only applies to successful interactions. In case of failure, servers SHOULD always return a body.",
)
async def failures_always_have_a_body(server: Server) -> None:
    (await server.post("Patient", patient(active="x"), {"Prefer": "return=minimal"})).expect(400, 422).outcome()


@rule("http.html#ops", "The resource that is the outcome (which may be different to that provided by the client).")
async def the_representation_is_what_is_read(server: Server) -> None:
    answer = await server.post("Patient", patient(), {"Prefer": "return=representation"})
    must((await server.get("/".join(answer.location[:2]))).json() == answer.json(), "a read shows something else")


@rule(SUMMARY, "true: Return a limited subset of elements … marked as summary.")
async def summary_true(server: Server) -> None:
    answer = (await server.get(f"{await full(server)}?_summary=true")).expect(200)
    must(answer.at("name") and answer.at("gender") == "male", "summary elements are missing")
    must(answer.at("contact") is None and answer.at("text") is None, "there is more than the summary")


@rule(SUMMARY, "text: Return only the text, id, meta, and top-level mandatory elements.")
async def summary_text(server: Server) -> None:
    answer = (await server.get(f"{await full(server)}?_summary=text")).expect(200)
    must(answer.at("text") and answer.at("id") and answer.at("meta"), "text, id or meta is missing")
    must(answer.at("name") is None and answer.at("gender") is None, "there is more than the text")


@rule(SUMMARY, "data: Remove the text element.")
async def summary_data(server: Server) -> None:
    answer = (await server.get(f"{await full(server)}?_summary=data")).expect(200)
    must(answer.at("text") is None and answer.at("contact"), "text is there, or data is missing")


@rule(SUMMARY, "false: Return all parts of the resource(s).")
async def summary_false(server: Server) -> None:
    path = await full(server)
    must((await server.get(f"{path}?_summary=false")).json() == (await server.get(path)).json(), "something is missing")


@rule("http.html#read", "Servers SHOULD define a Resource.meta.tag with SUBSETTED to explicitly mark such resources.")
async def summaries_are_marked(server: Server) -> None:
    path = await full(server)
    must(subsetted(await server.get(f"{path}?_summary=true")), "there is no tag SUBSETTED")
    must(not subsetted(await server.get(path)), "the whole resource is tagged")


@rule(SUMMARY, "_summary: true, text, data, count, false; nothing else.")
async def an_unknown_summary_is_refused(server: Server) -> None:
    (await server.get(f"{await full(server)}?_summary=some")).expect(400).outcome()


@rule(ELEMENTS, "Servers are not obliged to return just the requested elements … SHOULD return only these.")
async def elements_limit_the_resource(server: Server) -> None:
    answer = (await server.get(f"{await full(server)}?_elements=gender,birthDate")).expect(200)
    must(answer.at("gender") == "male" and answer.at("name") is None, "not just the requested elements")


@rule(ELEMENTS, "Whenever a resource is returned with a subset, it is tagged SUBSETTED.")
async def elements_are_marked(server: Server) -> None:
    must(subsetted(await server.get(f"{await full(server)}?_elements=gender")), "there is no tag SUBSETTED")


@rule(ELEMENTS, "Servers SHOULD always return mandatory elements.")
async def elements_keep_what_is_mandatory(server: Server) -> None:
    body: Json = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, "valueString": "y"}
    made = await server.created(body)
    answer = await server.get(f"{made.path}?_elements=valueString")
    must(answer.at("status") == "final" and answer.at("code"), "a mandatory element is missing")


@rule(CUSTOM, "X-Request-Id: Response: assigned by the server.")
async def answers_have_a_request_id(server: Server) -> None:
    must((await server.get("metadata")).header("X-Request-Id"), "it is empty")


@rule(
    CUSTOM,
    "The server can either use that id or assign its own, then it SHOULD return X-Correlation-Id with the client's.",
)
async def request_ids_are_echoed(server: Server) -> None:
    id = server.fresh()
    answer = await server.get("metadata", {"X-Request-Id": id})
    must(id in (answer.headers.get("x-request-id"), answer.headers.get("x-correlation-id")), "the id is not returned")


@rule(CUSTOM, "X-Correlation-Id: A client assigned request id echoed back in the response.")
async def correlation_ids_are_echoed(server: Server) -> None:
    id = server.fresh()
    must((await server.get("metadata", {"X-Correlation-Id": id})).header("X-Correlation-Id") == id, "another id")


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-10.2.1",
    "An origin server MUST generate Allow in a 405 response.",
)
async def a_405_has_allow(server: Server) -> None:
    answer = (await server.request("PUT", "metadata", patient())).expect(405)
    must("GET" in answer.header("Allow"), "Allow does not name GET")


@rule(
    "http.html#Status-Codes",
    "An OperationOutcome can be used to convey specific detailed processable error information.",
)
async def a_405_has_an_outcome(server: Server) -> None:
    (await server.request("PUT", "metadata", patient())).expect(405).outcome()


@rule("security.html#http", "Errors do not leak: no stack trace in any answer.")
async def errors_have_no_stack_trace(server: Server) -> None:
    made = await server.created(patient())
    for answer in (
        await server.post("Patient", {"resourceType": "Patient", "name": 7}),
        await server.get(f"{made.path}/_history?_count=x"),
        await server.get("Patient/$no-such-operation"),
    ):
        must(b"Traceback" not in answer.body and b"at java." not in answer.body, f"{answer.asked} shows a trace")


@rule("operations.html", "An operation that the server does not have is an error, with an OperationOutcome.")
async def unknown_operations_are_refused(server: Server) -> None:
    answer = await server.post("Patient/$no-such-operation", {"resourceType": "Parameters"})
    answer.expect(400, 404, 405, 501).outcome()


@rule("http.html#summary", "501 Not Implemented: what FHIR defines and the server does not have.")
async def operations_of_fhir_that_are_lacking_are_501(server: Server) -> None:
    made = await server.created(patient())
    for path in (f"{made.path}/$everything", "ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/administrative-gender"):
        answer = await server.get(path)
        if answer.expect(200, 501).status == 501:
            answer.outcome()
        else:
            must(answer.at("resourceType") in ("Bundle", "ValueSet"), f"{path} was not answered as it should be")
