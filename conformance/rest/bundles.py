"""batch and transaction."""

from __future__ import annotations

from uuid import uuid4

from conformance.rest.check import rule
from conformance.rest.server import SYSTEM, Json, Server, identified, member, must, patient

BATCH = "http.html#brules"
TRANSACTION = "http.html#trules"
RESPONSE = "http.html#transaction-response"


def entry(method: str, url: str, resource: Json | None = None, **more: object) -> Json:
    """An entry; `fullUrl` goes beside the request, everything else into it."""
    made: Json = {"request": {"method": method, "url": url}}
    if resource is not None:
        made["resource"] = resource
    for name, value in more.items():
        if name == "fullUrl":
            made[name] = value
        else:
            made["request"] = {"method": method, "url": url, name: value}
    return made


def bundle(type: str, *entries: Json) -> Json:
    """A Bundle of this type."""
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def urn() -> str:
    """A fresh urn:uuid."""
    return f"urn:uuid:{uuid4()}"


def observation(subject: str, **members: object) -> Json:
    """A small Observation about somebody."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **members,
    }


def located(response: Json) -> str:
    """[type]/[id] of an entry's response.location."""
    parts = str(member(response, "response", "location")).split("/")
    at = parts.index("_history") if "_history" in parts else len(parts)
    return "/".join(parts[at - 2 : at])


def statuses(entries: list[Json]) -> list[str]:
    """The three digits of each entry's response.status."""
    return [str(member(each, "response", "status"))[:3] for each in entries]


@rule(
    BATCH,
    "The HTTP response code is 200 Ok if the batch was processed correctly, regardless of its operations' success.",
)
async def a_batch_is_200(server: Server) -> None:
    body = bundle("batch", entry("GET", f"Patient/{server.fresh()}"), entry("POST", "Patient", patient()))
    (await server.post("", body)).expect(200)


@rule(RESPONSE, "A Bundle with type set to batch-response … that contains one entry for each entry in the request.")
async def a_batch_answers_each_entry(server: Server) -> None:
    body = bundle("batch", *(entry("POST", "Patient", patient()) for _ in range(3)))
    must(len((await server.post("", body)).bundle("batch-response")) == 3, "not one entry for each")


@rule(RESPONSE, "… in the same order, with the outcome of processing the entry.")
async def a_batch_answers_in_order(server: Server) -> None:
    made = await server.created(patient())
    body = bundle("batch", entry("GET", made.path), entry("GET", "Patient/" + server.fresh()), entry("GET", made.path))
    found = statuses((await server.post("", body)).bundle("batch-response"))
    must(found == ["200", "404", "200"], f"the statuses are {found}")


@rule(BATCH, "The success or failure of one change SHOULD not alter the success or failure of another.")
async def a_bad_entry_harms_no_other(server: Server) -> None:
    body = bundle("batch", entry("POST", "Patient", patient(active="no")), entry("POST", "Patient", patient()))
    found = statuses((await server.post("", body)).bundle("batch-response"))
    must(found[0].startswith("4") and found[1] == "201", f"the statuses are {found}")


@rule(RESPONSE, "Each entry … details the outcome - the HTTP status code, and the location and ETag header values.")
async def responses_have_location_and_etag(server: Server) -> None:
    entries = (await server.post("", bundle("batch", entry("POST", "Patient", patient())))).bundle("batch-response")
    must(member(entries, 0, "response", "etag") == 'W/"1"' or member(entries, 0, "response", "etag"), "no etag")
    (await server.get(located(entries[0]))).expect(200)


@rule(
    "bundle-definitions.html#Bundle.entry.response.outcome",
    "An OperationOutcome containing hints and warnings (or errors).",
)
async def a_failed_entry_has_an_outcome(server: Server) -> None:
    body = bundle("batch", entry("POST", "Patient", patient(active="no")))
    entries = (await server.post("", body)).bundle("batch-response")
    outcome = member(entries, 0, "response", "outcome", "resourceType")
    must(outcome == "OperationOutcome", "a failed entry has no response.outcome")


@rule(BATCH, "A batch may mix other interactions: update and delete.")
async def a_batch_updates_and_deletes(server: Server) -> None:
    one, two = await server.created(patient()), await server.created(patient())
    body = bundle("batch", entry("PUT", one.path, patient(id=one.id, active=False)), entry("DELETE", two.path))
    await server.post("", body)
    must((await server.get(one.path)).at("active") is False, "the update was not done")
    (await server.get(two.path)).expect(410)


@rule("http.html#transaction", "A batch may mix other interactions: search.")
async def a_batch_searches(server: Server) -> None:
    made = await server.created(patient())
    entries = (await server.post("", bundle("batch", entry("GET", f"Patient?_id={made.id}")))).bundle("batch-response")
    must(member(entries, 0, "resource", "resourceType") == "Bundle", "the entry has no searchset")


@rule(TRANSACTION, "Servers SHALL either accept all actions and return a 200 OK, along with a response bundle …")
async def a_transaction_is_200(server: Server) -> None:
    body = bundle("transaction", entry("POST", "Patient", patient()), entry("POST", "Patient", patient()))
    entries = (await server.post("", body)).expect(200).bundle("transaction-response")
    must(statuses(entries) == ["201", "201"], "not both entries were created")


@rule(TRANSACTION, "… or reject all resources and return an HTTP 400 or 500 type response.")
async def a_transaction_is_all_or_nothing(server: Server) -> None:
    id = server.fresh()
    body = bundle(
        "transaction",
        entry("PUT", f"Patient/{id}", patient(id=id)),
        entry("POST", "Patient", patient(active="no")),
    )
    answer = await server.post("", body)
    must(answer.status >= 400, f"answered {answer.status}")
    (await server.get(f"Patient/{id}")).expect(404)


@rule(RESPONSE, "For a failed transaction, the server returns a single OperationOutcome instead of a Bundle.")
async def a_failed_transaction_is_an_outcome(server: Server) -> None:
    body = bundle("transaction", entry("POST", "Patient", patient(active="no")))
    answer = await server.post("", body)
    must(400 <= answer.status < 500, f"answered {answer.status}")
    answer.outcome()


@rule(TRANSACTION, "It is not an error if the submitted bundle has no resources in it.")
async def an_empty_transaction_is_no_error(server: Server) -> None:
    body = {"resourceType": "Bundle", "type": "transaction"}
    must(not (await server.post("", body)).expect(200).bundle("transaction-response"), "there are entries")


@rule(TRANSACTION, "A resource can only appear in a transaction once (by identity).")
async def a_resource_twice_is_refused(server: Server) -> None:
    made = await server.created(patient())
    body = bundle(
        "transaction",
        entry("PUT", made.path, patient(id=made.id, active=False)),
        entry("DELETE", made.path),
    )
    answer = await server.post("", body)
    must(400 <= answer.status < 500, f"answered {answer.status}")
    must((await server.get(made.path)).expect(200).version == made.version, "something was done all the same")


@rule(
    TRANSACTION,
    "When the server assigns a new id to any resource, it SHALL also update any references to that resource.",
)
async def references_are_rewritten(server: Server) -> None:
    subject = urn()
    body = bundle(
        "transaction",
        entry("POST", "Patient", patient(), fullUrl=subject),
        entry("POST", "Observation", observation(subject), fullUrl=urn()),
    )
    entries = (await server.post("", body)).bundle("transaction-response")
    reference = str((await server.get(located(entries[1]))).at("subject", "reference"))
    must(reference.endswith(located(entries[0])), "the reference still is the urn:uuid")


@rule(TRANSACTION, "… including circular references where resources refer to each other.")
async def circular_references_are_rewritten(server: Server) -> None:
    one, two = urn(), urn()

    def linked(other: str) -> Json:
        return patient(link=[{"other": {"reference": other}, "type": "seealso"}])

    body = bundle(
        "transaction",
        entry("POST", "Patient", linked(two), fullUrl=one),
        entry("POST", "Patient", linked(one), fullUrl=two),
    )
    entries = (await server.post("", body)).bundle("transaction-response")
    paths = [located(each) for each in entries]
    for path, other in (paths, paths[::-1]):
        reference = str((await server.get(path)).at("link", 0, "other", "reference"))
        must(reference.endswith(other), "a reference was not rewritten")


@rule(
    TRANSACTION,
    'Servers SHALL replace all matching links, … elements of type uri, … <a href="" & <img src="" in the narrative.',
)
async def links_in_the_narrative_are_rewritten(server: Server) -> None:
    subject = urn()
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{subject}">who</a></div>'
    body = bundle(
        "transaction",
        entry("POST", "Patient", patient(), fullUrl=subject),
        entry("POST", "Observation", observation(subject, text={"status": "generated", "div": div}), fullUrl=urn()),
    )
    entries = (await server.post("", body)).bundle("transaction-response")
    shown = str((await server.get(located(entries[1]))).at("text", "div"))
    must(subject not in shown and located(entries[0]) in shown, "the link still is the urn:uuid")


@rule(TRANSACTION, "References to resources that are not part of the bundle are left untouched.")
async def other_references_are_left_alone(server: Server) -> None:
    body = bundle(
        "transaction", entry("POST", "Observation", observation("http://example.org/Patient/1"), fullUrl=urn())
    )
    entries = (await server.post("", body)).bundle("transaction-response")
    reference = (await server.get(located(entries[0]))).at("subject", "reference")
    must(reference == "http://example.org/Patient/1", "it was changed")


@rule(TRANSACTION, "Conditional references: a single match: the server replaces the search URI with a reference to it.")
async def conditional_references_are_resolved(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    body = bundle("transaction", entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|{value}")))
    entries = (await server.post("", body)).bundle("transaction-response")
    reference = str((await server.get(located(entries[0]))).at("subject", "reference"))
    must(reference.endswith(made.path), f"the reference is not {made.type}/…")


@rule(TRANSACTION, "Conditional references: if there are no matches … the transaction fails.")
async def a_conditional_reference_without_a_match_fails(server: Server) -> None:
    body = bundle("transaction", entry("POST", "Observation", observation(f"Patient?identifier={server.fresh()}")))
    answer = await server.post("", body)
    must(400 <= answer.status < 500, f"answered {answer.status}")
    answer.outcome()


@rule(TRANSACTION, "Conditional references: if there are … multiple matches, the transaction fails.")
async def a_conditional_reference_with_two_matches_fails(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    await server.created(identified(value))
    body = bundle("transaction", entry("POST", "Observation", observation(f"Patient?identifier={SYSTEM}|{value}")))
    must(400 <= (await server.post("", body)).status < 500, "it did not fail")


@rule(
    "bundle-definitions.html#Bundle.entry.request.ifNoneExist",
    "Instruct the server not to perform the create if a specified resource already exists.",
)
async def if_none_exist_in_a_transaction(server: Server) -> None:
    value = server.fresh()
    subject = urn()
    query = f"identifier={SYSTEM}|{value}"
    body = bundle(
        "transaction",
        entry("POST", "Patient", identified(value), fullUrl=subject, ifNoneExist=query),
        entry("POST", "Observation", observation(subject), fullUrl=urn()),
    )
    first = (await server.post("", body)).bundle("transaction-response")
    second = (await server.post("", body)).bundle("transaction-response")
    must(statuses(first)[0] == "201" and statuses(second)[0] == "200", "the second did not find the first")
    reference = str((await server.get(located(second[1]))).at("subject", "reference"))
    must(reference.endswith(located(first[0])), "the reference is not to the existing Patient")


@rule("bundle-definitions.html#Bundle.entry.request.ifMatch", "Only perform the operation if the Etag value matches.")
async def if_match_in_a_transaction(server: Server) -> None:
    made = await server.created(patient())
    id = server.fresh()
    body = bundle(
        "transaction",
        entry("PUT", made.path, patient(id=made.id, active=False), ifMatch='W/"4711"'),
        entry("PUT", f"Patient/{id}", patient(id=id)),
    )
    (await server.post("", body)).expect(400, 409, 412).outcome()
    (await server.get(f"Patient/{id}")).expect(404)


@rule(TRANSACTION, "Order: DELETE, POST, PUT or PATCH, GET: a GET sees what the others did.")
async def reads_in_a_transaction_see_its_writes(server: Server) -> None:
    made = await server.created(patient())
    body = bundle(
        "transaction",
        entry("GET", made.path),
        entry("PUT", made.path, patient(id=made.id, active=False)),
    )
    entries = (await server.post("", body)).bundle("transaction-response")
    must(member(entries, 0, "resource", "active") is False, "the GET shows the state before")


@rule(
    "http.html#patch",
    "Patch operations may be performed as part of … Transaction Operations using the FHIRPath Patch format.",
)
async def patches_in_a_transaction(server: Server) -> None:
    made = await server.created(patient())
    parts: list[Json] = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.active"},
        {"name": "value", "valueBoolean": False},
    ]
    document: Json = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    (await server.post("", bundle("transaction", entry("PATCH", made.path, document)))).expect(200)
    must((await server.get(made.path)).at("active") is False, "the patch was not done")


@rule("http.html#transaction", "Each entry SHALL carry request details.")
async def an_entry_without_a_request_is_refused(server: Server) -> None:
    body = bundle("transaction", {"resource": patient()})
    (await server.post("", body)).expect(400, 422).outcome()


@rule("http.html#transaction", "If the HTTP command is a PUT or POST, then the entry SHALL contain a resource.")
async def a_post_without_a_resource_is_refused(server: Server) -> None:
    (await server.post("", bundle("transaction", entry("POST", "Patient")))).expect(400, 422).outcome()


@rule(
    "http.html#transaction",
    "The content of the post submission is a Bundle with Bundle.type = batch or transaction.",
)
async def another_resource_at_the_base_is_refused(server: Server) -> None:
    (await server.post("", patient())).expect(400, 404, 405, 422).outcome()


@rule("http.html#ops", "Prefer: in the case of transactions … a resource may be included in the entry.")
async def a_transaction_honors_prefer(server: Server) -> None:
    body = bundle("transaction", entry("POST", "Patient", patient(gender="male")))
    answer = await server.post("", body, {"Prefer": "return=representation"})
    entries = answer.bundle("transaction-response")
    must(member(entries, 0, "resource", "gender") == "male", "the entry has no resource")


@rule("http.html#cond-update", "Conditional update in a transaction.")
async def conditional_update_in_a_transaction(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    body = bundle(
        "transaction",
        entry("PUT", f"Patient?identifier={SYSTEM}|{value}", identified(value) | {"active": False}),
    )
    (await server.post("", body)).expect(200)
    must((await server.get(made.path)).at("active") is False, "the match was not updated")
