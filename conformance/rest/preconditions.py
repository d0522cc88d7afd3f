"""The preconditions that HTTP has besides FHIR's own, on writes and reads."""

from __future__ import annotations

from conformance.rest.check import rule
from conformance.rest.server import Answer, Created, Server, must, patient

RFC9110 = "https://www.rfc-editor.org/rfc/rfc9110#section-13"
LONG_AGO, FAR_AHEAD = "Sat, 01 Jan 2000 00:00:00 GMT", "Sun, 01 Jan 2090 00:00:00 GMT"
JSON_PATCH = "application/json-patch+json"


def _tag(made: Created) -> str:
    return f'W/"{made.version}"'


async def _written(server: Server, headers: dict[str, str]) -> dict[str, Answer]:
    """Each kind of write, to a resource of its own, with these conditions; and that it did nothing where it is 412."""
    answers = {}
    for method in ("PUT", "PATCH", "DELETE"):
        made = await server.created(patient())
        given = headers | ({"If-None-Match": _tag(made)} if headers.get("If-None-Match") == "current" else {})
        if method == "PUT":
            answer = await server.put(made.path, patient(id=made.id), given)
        elif method == "PATCH":
            operation = {"op": "replace", "path": "/active", "value": False}
            answer = await server.patch(made.path, [operation], JSON_PATCH, given)
        else:
            answer = await server.delete(made.path, given)
        if answer.status == 412:
            must((await server.get(made.path)).version == made.version, f"{method} answered 412, but wrote")
        answers[method] = answer
    return answers


@rule(f"{RFC9110}.1.2", "If-None-Match on other methods than GET and HEAD: 412 if a listed tag matches.")
async def if_none_match_of_the_current_version_stops_writes(server: Server) -> None:
    for answer in (await _written(server, {"If-None-Match": "current"})).values():
        answer.expect(412).outcome()


@rule(f"{RFC9110}.1.2", "If-None-Match: * is false if there is a current representation.")
async def if_none_match_star_stops_writes(server: Server) -> None:
    for answer in (await _written(server, {"If-None-Match": "*"})).values():
        answer.expect(412).outcome()


@rule(f"{RFC9110}.1.4", "If-Unmodified-Since is false if the last modification is later than the date: 412.")
async def if_unmodified_since_long_ago_stops_writes(server: Server) -> None:
    for answer in (await _written(server, {"If-Unmodified-Since": LONG_AGO})).values():
        answer.expect(412).outcome()


@rule(f"{RFC9110}.1.4", "If-Unmodified-Since is true if the last modification is earlier than the date.")
async def if_unmodified_since_a_later_date_lets_writes_pass(server: Server) -> None:
    for answer in (await _written(server, {"If-Unmodified-Since": FAR_AHEAD})).values():
        answer.expect(200, 204)


@rule(f"{RFC9110}.1.4", "A recipient MUST ignore If-Unmodified-Since if the value is not a valid HTTP-date.")
async def if_unmodified_since_nonsense_is_ignored(server: Server) -> None:
    for answer in (await _written(server, {"If-Unmodified-Since": "yesterday"})).values():
        answer.expect(200, 204)


@rule(f"{RFC9110}.1.4", "A recipient MUST ignore If-Unmodified-Since if the request contains If-Match.")
async def if_match_goes_before_if_unmodified_since(server: Server) -> None:
    for answer in (await _written(server, {"If-Match": "*", "If-Unmodified-Since": LONG_AGO})).values():
        answer.expect(200, 204)


@rule(f"{RFC9110}.1.3", "If-Modified-Since on other methods than GET and HEAD MUST be ignored.")
async def if_modified_since_does_not_stop_writes(server: Server) -> None:
    for answer in (await _written(server, {"If-Modified-Since": FAR_AHEAD})).values():
        answer.expect(200, 204)


@rule(f"{RFC9110}.2.2", "When If-Match is present, evaluate it: if false, respond 412. On reads, too.")
async def if_match_on_a_read(server: Server) -> None:
    made = await server.created(patient())
    (await server.get(made.path, {"If-Match": 'W/"4711"'})).expect(412).outcome()
    (await server.get(made.path, {"If-Match": _tag(made)})).expect(200)


@rule(f"{RFC9110}.2.1", "Preconditions are ignored if the response without them would be other than a 2xx or 412.")
async def a_condition_on_what_is_not_there(server: Server) -> None:
    path = f"Patient/{server.fresh()}"
    (await server.get(path, {"If-Match": 'W/"1"'})).expect(404).outcome()
    operation = {"op": "replace", "path": "/active", "value": False}
    (await server.patch(path, [operation], JSON_PATCH, {"If-Match": 'W/"1"'})).expect(404).outcome()
