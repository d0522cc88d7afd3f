"""patch and conditional patch."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.server import FHIR_JSON, SYSTEM, Json, Server, identified, must, patient

PATCH = "http.html#patch"
FHIRPATH = "fhirpatch.html"
RFC6902 = "https://www.rfc-editor.org/rfc/rfc6902"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"


def fhirpath_patch(**parts: object) -> Json:
    """A Parameters resource with one operation; `value…` parts keep their names."""
    members: list[Json] = []
    for name, value in parts.items():
        if name.startswith("value"):
            members.append({"name": "value", name: value})
        elif isinstance(value, int):
            members.append({"name": name, "valueInteger": value})
        else:
            members.append({"name": name, ("valueCode" if name == "type" else "valueString"): value})
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": members}]}


@rule(PATCH, "A JSON Patch document with a content type of application/json-patch+json.")
async def json_patch_replaces(server: Server) -> None:
    made = await server.created(patient())
    (await server.patch(made.path, [{"op": "replace", "path": "/active", "value": False}], JSON_PATCH)).expect(200)
    must((await server.get(made.path)).at("active") is False, "the element was not replaced")


@rule(PATCH, "The server processes the resulting document as an Update operation.")
async def patch_makes_a_new_version(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.patch(made.path, [{"op": "replace", "path": "/active", "value": False}], JSON_PATCH)
    must(answer.version != made.version, "the ETag is that of the old version")
    must((await server.get(made.path)).version == answer.version, "a read does not show the new version")


@rule(RFC6902 + "#section-4.1", "add: inserts a new member or a new value into an array.")
async def json_patch_adds(server: Server) -> None:
    made = await server.created(patient())
    operations = [
        {"op": "add", "path": "/birthDate", "value": "1970-01-01"},
        {"op": "add", "path": "/name/0/given/0", "value": "Zero"},
        {"op": "add", "path": "/name/0/given/-", "value": "Last"},
    ]
    (await server.patch(made.path, operations, JSON_PATCH)).expect(200)
    read = await server.get(made.path)
    must(read.at("birthDate") == "1970-01-01", "the member was not added")
    must(read.at("name", 0, "given") == ["Zero", "One", "Last"], "the array's values are not as they should be")


@rule(RFC6902 + "#section-4.2", "remove: removes the value at the target location.")
async def json_patch_removes(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    (await server.patch(made.path, [{"op": "remove", "path": "/gender"}], JSON_PATCH)).expect(200)
    must((await server.get(made.path)).at("gender") is None, "the element is still there")


@rule(RFC6902 + "#section-4.4", "move: removes the value at a location and adds it to the target location.")
async def json_patch_moves(server: Server) -> None:
    made = await server.created(patient(name=[{"family": "Moved"}]))
    operation = {"op": "move", "from": "/name/0/family", "path": "/name/0/text"}
    (await server.patch(made.path, [operation], JSON_PATCH)).expect(200)
    must((await server.get(made.path)).at("name") == [{"text": "Moved"}], "the element was not moved")


@rule(RFC6902 + "#section-4.5", "copy: copies the value at a location to the target location.")
async def json_patch_copies(server: Server) -> None:
    made = await server.created(patient())
    (await server.patch(made.path, [{"op": "copy", "from": "/name/0", "path": "/name/-"}], JSON_PATCH)).expect(200)
    read = await server.get(made.path)
    must(read.at("name", 0) == read.at("name", 1), "the element was not copied")


@rule(
    RFC6902 + "#section-4.6", "test: the target location MUST be equal to the value for the operation to be successful."
)
async def json_patch_test_that_holds(server: Server) -> None:
    made = await server.created(patient())
    operations = [
        {"op": "test", "path": "/active", "value": True},
        {"op": "replace", "path": "/active", "value": False},
    ]
    (await server.patch(made.path, operations, JSON_PATCH)).expect(200)


@rule(
    RFC6902 + "#section-5",
    "If a … test operation fails, evaluation SHOULD terminate: the patch SHALL NOT be deemed successful.",
)
async def json_patch_test_that_fails(server: Server) -> None:
    made = await server.created(patient())
    operations = [
        {"op": "replace", "path": "/active", "value": False},
        {"op": "test", "path": "/gender", "value": "male"},
    ]
    (await server.patch(made.path, operations, JSON_PATCH)).expect(409, 412, 422).outcome()
    must((await server.get(made.path)).version == made.version, "half of a patch was applied")


@rule(RFC6902 + "#section-4.2", "The target location MUST exist for the operation to be successful.")
async def json_patch_of_a_missing_target_is_refused(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.patch(made.path, [{"op": "remove", "path": "/photo"}], JSON_PATCH)
    answer.expect(400, 409, 422).outcome()


@rule(RFC6902 + "#section-4", "op … value MUST be one of add, remove, replace, move, copy, or test.")
async def an_unknown_json_patch_operation_is_refused(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.patch(made.path, [{"op": "eradicate", "path": "/active"}], JSON_PATCH)
    answer.expect(400, 422).outcome()


@rule(PATCH, "The body of a PATCH operation SHALL be a JSON Patch document: an array.")
async def a_json_patch_that_is_none_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.patch(made.path, {"active": False}, JSON_PATCH)).expect(400, 422).outcome()


@rule(PATCH, "All the version and error handling etc. apply as specified (for update).")
async def a_patch_to_something_invalid_is_refused(server: Server) -> None:
    made = await server.created(patient())
    operation = {"op": "replace", "path": "/active", "value": "perhaps"}
    (await server.patch(made.path, [operation], JSON_PATCH)).expect(400, 422).outcome()
    must((await server.get(made.path)).version == made.version, "it was stored")


@rule(PATCH, "As for update: the id does not change.")
async def a_patch_of_the_id_is_refused(server: Server) -> None:
    made = await server.created(patient())
    operation = {"op": "replace", "path": "/id", "value": server.fresh()}
    (await server.patch(made.path, [operation], JSON_PATCH)).expect(400, 422).outcome()


@rule(PATCH, "Patch a resource that is not there: 404.")
async def patch_of_the_unknown_is_404(server: Server) -> None:
    operation = {"op": "replace", "path": "/active", "value": False}
    (await server.patch(f"Patient/{server.fresh()}", [operation], JSON_PATCH)).expect(404).outcome()


@rule("http.html#read", "A deleted resource is treated differently from an unknown one: 410.")
async def patch_of_the_deleted_is_410(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    operation = {"op": "replace", "path": "/active", "value": False}
    (await server.patch(made.path, [operation], JSON_PATCH)).expect(404, 410).outcome()


@rule(PATCH, "Servers SHALL support conditional PATCH, exactly the same as specified for update (If-Match).")
async def patch_with_a_stale_if_match_is_412(server: Server) -> None:
    made = await server.created(patient())
    operation = {"op": "replace", "path": "/active", "value": False}
    answer = await server.patch(made.path, [operation], JSON_PATCH, {"If-Match": 'W/"4711"'})
    answer.expect(412).outcome()


@rule(PATCH, "Servers SHALL support conditional PATCH: If-Match of the current version.")
async def patch_with_if_match(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    operation = {"op": "replace", "path": "/active", "value": False}
    (await server.patch(made.path, [operation], JSON_PATCH, {"If-Match": etag})).expect(200)


@rule("http.html#mime-type", "415 Unsupported Media Type when the client posts a format that is not supported.")
async def another_patch_format_is_415(server: Server) -> None:
    made = await server.created(patient())
    (await server.patch(made.path, {}, "application/x-patch")).expect(415).outcome()


@rule("https://www.rfc-editor.org/rfc/rfc7396", "Merge Patch: null removes a member, others are replaced.")
async def merge_patch(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    (await server.patch(made.path, {"gender": None, "active": False}, MERGE_PATCH)).expect(200)
    read = await server.get(made.path)
    must(read.at("gender") is None and read.at("active") is False, "the patch was not merged")


@rule(FHIRPATH, "replace: The content will be replaced.")
async def fhirpath_patch_replaces(server: Server) -> None:
    made = await server.created(patient())
    document = fhirpath_patch(type="replace", path="Patient.active", valueBoolean=False)
    (await server.patch(made.path, document, FHIR_JSON)).expect(200)
    must((await server.get(made.path)).at("active") is False, "the element was not replaced")


@rule(FHIRPATH, "add: The content will be appended to the element identified in the path, using the name specified.")
async def fhirpath_patch_adds(server: Server) -> None:
    made = await server.created(patient())
    document = fhirpath_patch(type="add", path="Patient", name="birthDate", valueDate="1970-01-01")
    (await server.patch(made.path, document, FHIR_JSON)).expect(200)
    must((await server.get(made.path)).at("birthDate") == "1970-01-01", "the element was not added")


@rule(FHIRPATH, "delete: … the element identified by the path is removed.")
async def fhirpath_patch_deletes(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    (await server.patch(made.path, fhirpath_patch(type="delete", path="Patient.gender"), FHIR_JSON)).expect(200)
    must((await server.get(made.path)).at("gender") is None, "the element is still there")


@rule(FHIRPATH, "delete: it is not an error if there is no matching element to delete.")
async def fhirpath_patch_deletes_nothing(server: Server) -> None:
    made = await server.created(patient())
    (await server.patch(made.path, fhirpath_patch(type="delete", path="Patient.gender"), FHIR_JSON)).expect(200)


@rule(FHIRPATH, "insert: The content will be inserted at the index position.")
async def fhirpath_patch_inserts(server: Server) -> None:
    made = await server.created(patient())
    document = fhirpath_patch(type="insert", path="Patient.name.given", index=0, valueString="Zero")
    (await server.patch(made.path, document, FHIR_JSON)).expect(200)
    must((await server.get(made.path)).at("name", 0, "given") == ["Zero", "One"], "it was not inserted in front")


@rule(FHIRPATH, "move: the element is moved from the source to the destination index.")
async def fhirpath_patch_moves(server: Server) -> None:
    made = await server.created(patient(name=[{"family": "A"}, {"family": "B"}, {"family": "C"}]))
    document = fhirpath_patch(type="move", path="Patient.name", source=2, destination=0)
    (await server.patch(made.path, document, FHIR_JSON)).expect(200)
    families = [(await server.get(made.path)).at("name", index, "family") for index in range(3)]
    must(families == ["C", "A", "B"], f"the order is {families}")


@rule(FHIRPATH, "The path identifies a single element: replacing what is not there is an error.")
async def fhirpath_patch_replace_of_nothing_is_refused(server: Server) -> None:
    made = await server.created(patient())
    document = fhirpath_patch(type="replace", path="Patient.gender", valueCode="male")
    (await server.patch(made.path, document, FHIR_JSON)).expect(400, 409, 422).outcome()


@rule(PATCH, "Conditional PATCH. No matches: The server returns a 404 Not Found.")
async def conditional_patch_without_a_match_is_404(server: Server) -> None:
    operation = {"op": "replace", "path": "/active", "value": False}
    url = f"Patient?identifier={SYSTEM}|{server.fresh()}"
    (await server.patch(url, [operation], JSON_PATCH)).expect(404).outcome()


@rule(PATCH, "Conditional PATCH. One Match: The server performs the update against the matching resource.")
async def conditional_patch_patches_the_match(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    operation = {"op": "replace", "path": "/active", "value": False}
    (await server.patch(f"Patient?identifier={SYSTEM}|{value}", [operation], JSON_PATCH)).expect(200)
    must((await server.get(made.path)).at("active") is False, "the match was not patched")


@rule(PATCH, "Conditional PATCH. Multiple matches: The server returns a 412 Precondition Failed error.")
async def conditional_patch_with_two_matches_is_412(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    await server.created(identified(value))
    operation = {"op": "replace", "path": "/active", "value": False}
    answer = await server.patch(f"Patient?identifier={SYSTEM}|{value}", [operation], JSON_PATCH)
    answer.expect(412).outcome()


@rule("datatypes.html#decimal", "The precision of the decimal value has significance, outside of what is patched too.")
async def a_patch_leaves_other_numbers_alone(server: Server) -> None:
    body = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":7.00}}'
    answer = await server.request("POST", "Observation", content=body, headers={"Content-Type": FHIR_JSON})
    path = "/".join(answer.expect(201).location[:2])
    await server.patch(path, [{"op": "replace", "path": "/status", "value": "amended"}], JSON_PATCH)
    read = await server.get(path)
    must(read.at("status") == "amended" and b"7.00" in read.body, "7.00 did not stay 7.00")


@rule(RFC6902 + "#section-3", "A JSON Patch document is an array of operations: without any, it changes nothing.")
async def a_patch_without_operations_changes_nothing(server: Server) -> None:
    made = await server.created(patient())
    empty: Json = {"resourceType": "Parameters"}
    for document, kind in (([], JSON_PATCH), (empty, FHIR_JSON)):
        (await server.patch(made.path, document, kind)).expect(200)
    must((await server.get(made.path)).version == made.version, "there is a new version of it")


@rule("json.html", "An array is never empty: so a list without elements is absent, and appending to it makes it.")
async def json_patch_appends_to_an_absent_list(server: Server) -> None:
    made = await server.created(patient())
    operation = {"op": "add", "path": "/telecom/-", "value": {"system": "phone", "value": "1"}}
    (await server.patch(made.path, [operation], JSON_PATCH)).expect(200)
    must((await server.get(made.path)).at("telecom", 0, "value") == "1", "the element was not added")
