"""delete and conditional delete."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.server import SYSTEM, Server, identified, must, patient

DELETE = "http.html#delete"


@rule(DELETE, "Upon successful deletion … 200 OK if the response contains a payload, or a 204 No Content.")
async def delete_is_200_or_204(server: Server) -> None:
    answer = (await server.delete((await server.created(patient())).path)).expect(200, 202, 204)
    must(answer.status != 204 or not answer.body, "204 has a body")


@rule(DELETE, "Subsequent non-version specific reads of a resource return a 410 HTTP status code.")
async def after_a_delete_reads_are_410(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    (await server.get(made.path)).expect(410)


@rule(
    DELETE, "… if the resource does not exist at all, the server should return either a 200 OK … or a 204 No Content."
)
async def delete_of_the_unknown_is_no_error(server: Server) -> None:
    (await server.delete(f"Patient/{server.fresh()}")).expect(200, 202, 204)


@rule(DELETE, "Performing this interaction on a resource that is already deleted has no effect.")
async def delete_twice_is_no_error(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    before = (await server.get(made.path)).version
    (await server.delete(made.path)).expect(200, 204)
    must((await server.get(made.path)).version == before, "a second tombstone was made")


@rule(DELETE, "The resource is no longer found through search interactions.")
async def the_deleted_is_not_found_by_search(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    await server.delete(made.path)
    entries = (await server.get(f"Patient?identifier={SYSTEM}|{value}")).bundle("searchset")
    must(not [entry for entry in entries if entry.get("resource")], "the search still finds it")


@rule(
    DELETE,
    "Deleting a resource is the equivalent of creating a special kind of history entry that is marked as deleted.",
)
async def a_deletion_is_in_the_history(server: Server) -> None:
    made = await server.created(patient())
    await server.delete(made.path)
    entries = (await server.get(f"{made.path}/_history")).bundle("history")
    must(len(entries) == 2 and "resource" not in entries[0], "the first entry of the history is not the deletion")


@rule(DELETE, "Servers MAY include an ETag on the delete response.")
async def delete_has_an_etag(server: Server) -> None:
    made = await server.created(patient())
    answer = await server.delete(made.path)
    must(answer.version == (await server.get(made.path)).version, "the ETag is not the tombstone's version id")


@rule("http.html#create", "404 Not Found - resource type not supported.")
async def delete_of_an_unknown_type_is_404(server: Server) -> None:
    (await server.delete("Nonsense/1")).expect(404).outcome()


@rule(
    "http.html#concurrency", "If the version id given in the If-Match header does not match, 412 Precondition Failed."
)
async def delete_with_a_stale_if_match_is_412(server: Server) -> None:
    made = await server.created(patient())
    (await server.delete(made.path, {"If-Match": 'W/"4711"'})).expect(412).outcome()
    (await server.get(made.path)).expect(200)


@rule("http.html#concurrency", "If-Match that quotes the ETag from the server.")
async def delete_with_if_match(server: Server) -> None:
    made = await server.created(patient())
    etag = (await server.get(made.path)).header("ETag")
    (await server.delete(made.path, {"If-Match": etag})).expect(200, 204)


@rule(DELETE, "Conditional delete. One Match: The server performs an ordinary delete on the matching resource.")
async def conditional_delete_deletes_the_match(server: Server) -> None:
    value = server.fresh()
    made = await server.created(identified(value))
    (await server.delete(f"Patient?identifier={SYSTEM}|{value}")).expect(200, 204)
    (await server.get(made.path)).expect(410)


@rule(DELETE, "Conditional delete. No matches: The server performs an ordinary delete (which is no error).")
async def conditional_delete_without_a_match(server: Server) -> None:
    (await server.delete(f"Patient?identifier={SYSTEM}|{server.fresh()}")).expect(200, 204, 404)


@rule(DELETE, "Multiple matches: delete all the matching resources, or 412 …, as the Capability Statement says.")
async def conditional_delete_with_two_matches(server: Server) -> None:
    value = server.fresh()
    made = [await server.created(identified(value)) for _ in range(2)]
    answer = (await server.delete(f"Patient?identifier={SYSTEM}|{value}")).expect(200, 204, 412)
    for each in made:
        (await server.get(each.path)).expect(200 if answer.status == 412 else 410)


@rule(DELETE, "Criteria that the server cannot evaluate are refused, never ignored.")
async def conditional_delete_without_criteria_is_refused(server: Server) -> None:
    made = await server.created(patient())
    for url in ("Patient", "Patient?no-such-parameter=1"):
        answer = await server.delete(url)
        must(answer.status >= 400, f"{url} answered {answer.status}")
    (await server.get(made.path)).expect(200)
