"""update, update as create, version-aware update, conditional update."""

from __future__ import annotations

import asyncio

from conformance.rest.check import rule
from conformance.rest.server import SYSTEM, Server, identified, must, patient

UPDATE = "http.html#update"
UPSERT = "http.html#upsert"
AWARE = "http.html#concurrency"
COND = "http.html#cond-update"


@rule(UPDATE, "The server SHALL return a 200 OK HTTP status code if the resource was updated.")
async def update_is_200(server: Server) -> None:
    made = await server.created(patient())
    (await server.put(made.path, patient(id=made.id, active=False))).expect(200)


@rule(UPDATE, "The update interaction creates a new current version for an existing resource.")
async def update_makes_a_new_version(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.put(made.path, patient(id=made.id, active=False))
    must(answer.version != made.version, "the version id is the old one")
    must((await server.get(made.path)).version == answer.version, "a read does not show the new version")


@rule(UPDATE, "With … an ETag header which contains the new versionId of the resource.")
async def update_has_an_etag(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.put(made.path, patient(id=made.id))
    must(answer.version == (await server.get(made.path)).at("meta", "versionId"), "the ETag is not the new version id")


@rule(UPDATE, "With a Last-Modified header.")
async def update_has_last_modified(server: Server) -> None:
    made = await server.created(patient())
    must((await server.put(made.path, patient(id=made.id))).last_modified > 0, "no date")


@rule(UPDATE, "If no id element is provided … the server SHALL respond with an HTTP 400 error code.")
async def update_without_an_id_is_400(server: Server) -> None:
    made = await server.created(patient())
    (await server.put(made.path, patient())).expect(400).outcome()


@rule(UPDATE, "If … the id disagrees with the id in the URL, the server SHALL respond with an HTTP 400 error code.")
async def update_with_another_id_is_400(server: Server) -> None:
    made = await server.created(patient())
    (await server.put(made.path, patient(id=server.fresh()))).expect(400).outcome()


@rule(UPDATE, "… and nothing is changed by what was refused.")
async def a_refused_update_changes_nothing(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=server.fresh(), active=False))
    must((await server.get(made.path)).version == made.version, "there is a new version")


@rule(UPDATE, "If the request body includes a meta, the server SHALL ignore the provided versionId … values.")
async def update_ignores_the_version_id(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, meta={"versionId": "99"}))
    must((await server.get(made.path)).at("meta", "versionId") != "99", "versionId was taken over")


@rule(UPDATE, "The server SHALL ignore the provided … lastUpdated values.")
async def update_ignores_last_updated(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, meta={"lastUpdated": "1999-01-01T00:00:00Z"}))
    updated = str((await server.get(made.path)).at("meta", "lastUpdated"))
    must(not updated.startswith("1999"), "lastUpdated was taken over")


@rule(UPDATE, "It SHALL populate the meta.versionId and meta.lastUpdated with the new correct values.")
async def update_populates_meta(server: Server) -> None:
    made = await server.created(patient())
    before = str((await server.get(made.path)).at("meta", "lastUpdated"))
    await server.put(made.path, patient(id=made.id, active=False))
    must(str((await server.get(made.path)).at("meta", "lastUpdated")) > before, "lastUpdated did not move")


@rule(UPDATE, "Servers … SHOULD refrain from altering the other metadata values.")
async def update_keeps_tags(server: Server) -> None:
    made = await server.created(patient())
    tags = [{"system": SYSTEM, "code": "kept"}]
    await server.put(made.path, patient(id=made.id, meta={"tag": tags}))
    must((await server.get(made.path)).at("meta", "tag") == tags, "tags were altered")


@rule(UPDATE, "Update generally updates the whole content of the resource.")
async def update_replaces_everything(server: Server) -> None:
    made = await server.created(patient(gender="male"))
    await server.put(made.path, patient(id=made.id))
    must((await server.get(made.path)).at("gender") is None, "an element that was left out is still there")


@rule(UPDATE, "A server SHOULD accept the resource as submitted and return the same content when it is read.")
async def update_keeps_the_content(server: Server) -> None:
    id = server.fresh()
    sent = patient(id=id, address=[{"line": ["1", "2"], "_line": [None, {"id": "second"}]}])
    (await server.put(f"Patient/{id}", sent)).expect(201)
    must((await server.get(f"Patient/{id}")).at("address") == sent["address"], "the content is not what was sent")


@rule(UPSERT, "Update … creates an initial version if no resource already exists for the given id.")
async def update_of_the_unknown_creates(server: Server) -> None:
    id = server.fresh()
    (await server.put(f"Patient/{id}", patient(id=id))).expect(201)
    (await server.get(f"Patient/{id}")).expect(200)


@rule(UPDATE, "If the interaction resulted in a 201 Created, the server SHOULD return a Location header.")
async def update_as_create_has_a_location(server: Server) -> None:
    id = server.fresh()
    must((await server.put(f"Patient/{id}", patient(id=id))).location[:2] == ("Patient", id), "another Location")


@rule(UPDATE, "201 Created if the resource was created (or brought back to life).")
async def update_of_the_deleted_is_201(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    (await server.put(made.path, patient(id=made.id))).expect(201)
    (await server.get(made.path)).expect(200)


@rule("http.html#delete", "Deleted resources may be brought back to life: version ids are unique for the resource.")
async def a_revived_resource_has_a_version_of_its_own(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    gone = (await server.get(made.path)).version
    again = (await server.put(made.path, patient(id=made.id))).version
    must(len({made.version, gone, again}) == 3, "a version id was used twice")


@rule(UPDATE, "404 Not Found - resource type not supported.")
async def update_of_an_unknown_type_is_404(server: Server) -> None:
    (await server.put("Nonsense/1", {"resourceType": "Nonsense", "id": "1"})).expect(404).outcome()


@rule(UPDATE, "400 Bad Request - failed basic FHIR validation rules: another type than the URL's.")
async def update_with_another_type_is_refused(server: Server) -> None:
    made = await server.created(patient())
    body = {"resourceType": "Basic", "id": made.id, "code": {"text": "x"}}
    (await server.put(made.path, body)).expect(400, 422).outcome()


@rule(UPDATE, "400 Bad Request - resource … failed basic FHIR validation rules.")
async def an_invalid_update_is_refused(server: Server) -> None:
    made = await server.created(patient())
    (await server.put(made.path, patient(id=made.id, birthDate=1970))).expect(400, 422).outcome()


@rule("datatypes.html#id", "Ids can be up to 64 characters long.")
async def ids_of_64_characters_are_accepted(server: Server) -> None:
    id = (server.fresh() + "-" * 64)[:64]
    (await server.put(f"Patient/{id}", patient(id=id))).expect(201)


@rule("datatypes.html#id", "Ids can be up to 64 characters long, not longer.")
async def ids_of_65_characters_are_refused(server: Server) -> None:
    id = (server.fresh() + "-" * 65)[:65]
    (await server.put(f"Patient/{id}", patient(id=id))).expect(400, 404, 422).outcome()


@rule("datatypes.html#id", "[A-Za-z0-9\\-\\.]: nothing else.")
async def ids_with_other_characters_are_refused(server: Server) -> None:
    (await server.put("Patient/a_b", patient(id="a_b"))).expect(400, 404, 422).outcome()


@rule(AWARE, "The client … submits the request with an If-Match header that quotes the ETag from the server.")
async def if_match_of_the_current_version_updates(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    (await server.put(made.path, patient(id=made.id), {"If-Match": etag})).expect(200)


@rule(AWARE, "If the version id given in If-Match does not match, the server returns a 412 instead of updating.")
async def if_match_of_an_older_version_is_412(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    await server.put(made.path, patient(id=made.id, active=False))
    (await server.put(made.path, patient(id=made.id), {"If-Match": etag})).expect(412).outcome()


@rule(AWARE, "… 412 instead of updating the resource.")
async def a_failed_if_match_changes_nothing(server: Server) -> None:
    made = await server.created(patient())
    await server.put(made.path, patient(id=made.id, active=False), {"If-Match": 'W/"4711"'})
    must((await server.get(made.path)).version == made.version, "there is a new version")


@rule(AWARE, "Lost Updates can be prevented using a combination of ETag and If-Match.")
async def of_two_updates_at_once_one_wins(server: Server) -> None:
    made = await server.created(patient())
    headers = {"If-Match": (await server.get(made.path)).header("ETag")}
    bodies = [patient(id=made.id, birthDate=f"19{number}-01-01") for number in range(70, 78)]
    answers = await asyncio.gather(*(server.put(made.path, body, headers) for body in bodies))
    statuses = sorted(answer.status for answer in answers)
    must(statuses.count(200) == 1 and set(statuses) <= {200, 409, 412}, f"eight at once: {statuses}")


@rule("https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1", "If-Match: a list of entity tags; one has to match.")
async def if_match_takes_a_list(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    (await server.put(made.path, patient(id=made.id), {"If-Match": f'W/"4711", {etag}'})).expect(200)


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1", "If-Match: * is true if there is a current representation."
)
async def if_match_star_needs_a_resource(server: Server) -> None:
    made = await server.created(patient())
    (await server.put(made.path, patient(id=made.id), {"If-Match": "*"})).expect(200)
    id = server.fresh()
    (await server.put(f"Patient/{id}", patient(id=id), {"If-Match": "*"})).expect(412).outcome()


@rule(AWARE, "If the version id given in If-Match does not match: where there is no resource at all.")
async def if_match_of_the_unknown_is_412(server: Server) -> None:
    id = server.fresh()
    (await server.put(f"Patient/{id}", patient(id=id), {"If-Match": 'W/"1"'})).expect(404, 412).outcome()


@rule(
    "https://www.rfc-editor.org/rfc/rfc9110#section-13.1.2",
    "If-None-Match: * prevents an update of what exists already.",
)
async def if_none_match_star_only_creates(server: Server) -> None:
    id = server.fresh()
    headers = {"If-None-Match": "*"}
    (await server.put(f"Patient/{id}", patient(id=id), headers)).expect(201)
    (await server.put(f"Patient/{id}", patient(id=id), headers)).expect(412).outcome()


@rule(AWARE, "Versions are unique within the address space of all versions of the same resource.")
async def updates_at_once_get_versions_of_their_own(server: Server) -> None:
    made = await server.created(patient())
    body = patient(id=made.id)
    answers = await asyncio.gather(*(server.put(made.path, body) for _ in range(6)))
    versions = [answer.version for answer in answers if answer.status == 200]
    must(versions and len(set(versions)) == len(versions), "two updates were given one version id")


@rule(COND, "No matches, no id provided: The server creates the resource.")
async def conditional_update_creates(server: Server) -> None:
    value = server.fresh()
    (await server.put(f"Patient?identifier={SYSTEM}|{value}", identified(value))).expect(201)


@rule(COND, "No matches, id provided: The server treats the interaction as an Update as Create interaction.")
async def conditional_update_creates_under_the_id(server: Server) -> None:
    value = server.fresh()
    body = identified(value) | {"id": value}
    answer = (await server.put(f"Patient?identifier={SYSTEM}|{value}", body)).expect(201)
    must(answer.location[1] == value, "the id in the body was not used")


@rule(COND, "One Match, no resource id provided: The server performs the update against the matching resource.")
async def conditional_update_updates_the_match(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    body = identified(value) | {"active": False}
    (await server.put(f"Patient?identifier={SYSTEM}|{value}", body)).expect(200)
    must((await server.get(made.path)).at("active") is False, "the match was not updated")


@rule(COND, "One Match, … resource id provided and it matches the found resource: The server performs the update.")
async def conditional_update_with_the_right_id(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    (await server.put(f"Patient?identifier={SYSTEM}|{value}", identified(value) | {"id": made.id})).expect(200)


@rule(COND, "One Match, resource id provided but does not match resource found: a 400 Bad Request error.")
async def conditional_update_with_another_id_is_400(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    body = identified(value) | {"id": server.fresh()}
    (await server.put(f"Patient?identifier={SYSTEM}|{value}", body)).expect(400).outcome()


@rule(COND, "Multiple matches: The server returns a 412 Precondition Failed error.")
async def conditional_update_with_two_matches_is_412(server: Server) -> None:
    value = server.fresh()
    await server.created(identified(value))
    await server.created(identified(value))
    (await server.put(f"Patient?identifier={SYSTEM}|{value}", identified(value))).expect(412).outcome()


@rule(COND, "Criteria that the server cannot evaluate are refused, never ignored.")
async def conditional_update_with_unknown_criteria_is_refused(server: Server) -> None:
    answer = await server.put("Patient?no-such-parameter=1", patient())
    must(answer.status >= 400, f"answered {answer.status}")
    answer.outcome()
