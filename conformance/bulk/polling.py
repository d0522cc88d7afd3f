"""Status requests, and DELETE."""

from __future__ import annotations

import re

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.export import Export, Skipped, wait_of
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import Answer, Broken, member, must

_STATUS = "#bulk-data-status-request"
_IN_PROGRESS = "#response---in-progress-status"
_COMPLETE = "#response---complete-status"
_ERROR = ("#response---error-status-1", "#response---error-status")
_DELETE = "#bulk-data-delete-request"
_STORM = 50
_TRANSIENT = {"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"}


async def _under_way(provider: Provider) -> list[Answer]:
    polls = (await provider.export(Kickoff())).polls
    if not polls:
        raise Skipped("the export was done at once")
    return polls


async def _stormed(provider: Provider) -> Answer:
    """The answer to a poll that is one too many. Raises Broken where there is none."""

    async def make() -> Answer | None:
        export = await provider.start(Kickoff(parameters=(("_type", "Patient"),)))
        for _ in range(_STORM):
            answer = await export.poll()
            if answer.status == 429:
                return answer
        return None

    answer = await provider.once("storm", make)
    if answer is None:
        raise Broken(f"{_STORM} polls without a pause are all answered")
    return answer


@rule(
    stu3(_IN_PROGRESS, "HTTP Status Code of `202 Accepted`"),
    stu4(_IN_PROGRESS, "The Data Provider SHALL indicate an in-progress export job as follows"),
)
async def under_way_is_202(provider: Provider) -> None:
    for answer in await _under_way(provider):
        must(answer.status == 202, f"an export under way is answered {answer.status}")


@rule(
    both(
        _IN_PROGRESS,
        _IN_PROGRESS,
        "`X-Progress` header with a text description of the status of the request that is less than 100 characters.",
    )
)
async def progress_is_short(provider: Provider) -> None:
    for answer in await _under_way(provider):
        must(len(answer.headers.get("X-Progress", "")) < 100, "X-Progress has 100 characters or more")


@rule(both(_STATUS, _STATUS, "SHOULD supply a `Retry-After` header with a"))
async def the_time_of_the_next_poll_is_told(provider: Provider) -> None:
    for answer in await _under_way(provider):
        answer.header("Retry-After")
        wait_of(answer)


@rule(both(_STATUS, _STATUS, "SHOULD keep an accounting of status queries received from a given {client}"))
async def polls_are_counted(provider: Provider) -> None:
    await _stormed(provider)


@rule(
    both(
        _STATUS,
        _STATUS,
        "SHOULD respond with a `429 Too Many Requests` status code in addition to a `Retry-After` header",
    )
)
async def polls_too_fast_are_refused_with_429(provider: Provider) -> None:
    wait_of(await _stormed(provider))
    (await _stormed(provider)).header("Retry-After")


@rule(both(_ERROR[0], _ERROR[1], "SHOULD use a transient code from the IssueType valueset"))
async def a_failed_poll_is_transient(provider: Provider) -> None:
    code = member((await _stormed(provider)).outcome(), "issue", 0, "code")
    must(code in _TRANSIENT, f"the issue of a poll that failed has the code {code}")


@rule(
    stu3(_ERROR[0], "`Content-Type` header of `application/fhir+json` when body is a FHIR `OperationOutcome` resource"),
    stu4(_ERROR[1], "the response SHALL include a `Content-Type` header of `application/fhir+json`."),
)
async def outcomes_are_fhir_json(provider: Provider) -> None:
    answer = await _stormed(provider)
    answer.outcome()
    must(answer.media_type == "application/fhir+json", f"an OperationOutcome is {answer.media_type}")


@rule(
    both(_ERROR[0], _ERROR[1], "The body of the response SHOULD be a FHIR `OperationOutcome` resource in JSON format.")
)
async def an_unknown_polling_location_is_an_error(provider: Provider) -> None:
    answer = await provider.server.get(_altered((await provider.export(Kickoff())).status_url))
    must(answer.status >= 400, f"a polling location that nobody was given is answered {answer.status}")
    answer.outcome()


@rule(
    stu3(_COMPLETE, "HTTP status of `200 OK`"),
    stu4(_COMPLETE, "The Data Provider SHALL indicate a completed export job as follows"),
)
async def complete_is_200(provider: Provider) -> None:
    must((await provider.export(Kickoff())).done.status == 200, "a complete export is not answered 200")


@rule(
    stu3(_COMPLETE, "`Content-Type` header of `application/json`"),
    stu4(_COMPLETE, "The response SHALL include a `Content-Type` header of `application/json` and a body"),
)
async def the_manifest_is_json(provider: Provider) -> None:
    done = (await provider.export(Kickoff())).done
    must(done.media_type == "application/json", f"the manifest is {done.media_type}")
    done.json()


@rule(
    both(
        _COMPLETE,
        _COMPLETE,
        "SHOULD return an `Expires` header indicating when the files listed will no longer be available for access.",
    )
)
async def the_end_of_the_files_is_told(provider: Provider) -> None:
    done = (await provider.export(Kickoff())).done
    must(re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT", done.header("Expires")), "Expires is no HTTP date")


async def _deleted(provider: Provider) -> tuple[Export, Answer]:
    """An export that was deleted under way, and the answer to DELETE."""

    async def make() -> tuple[Export, Answer]:
        export = await provider.start(Kickoff(parameters=(("_type", "Patient"),)))
        return export, await provider.server.delete(export.status_url)

    return await provider.once("deleted", make)


@rule(
    stu3(_DELETE, "HTTP Status Code of `202 Accepted`"),
    stu4(_DELETE, "SHALL return a successful delete response with HTTP status `202 Accepted`."),
)
async def delete_is_accepted(provider: Provider) -> None:
    (await _deleted(provider))[1].expect(202)


@rule(both(_DELETE, _DELETE, "SHALL return a `404 Not Found` error and an associated FHIR `OperationOutcome`"))
async def after_delete_there_is_nothing(provider: Provider) -> None:
    export, _ = await _deleted(provider)
    (await export.poll()).expect(404).outcome()


@rule(both(_DELETE, _DELETE, "SHALL return a `404 Not Found` error and an associated FHIR `OperationOutcome`"))
async def after_delete_of_a_complete_export_there_is_nothing(provider: Provider) -> None:
    export = await (await provider.start(Kickoff(parameters=(("_type", "Patient"),)))).finish()
    (await provider.server.delete(export.status_url)).expect(202)
    (await export.poll()).expect(404).outcome()


@rule(
    stu3(
        _DELETE,
        "HTTP status code of `4XX` or `5XX` The body SHALL be a FHIR `OperationOutcome` resource in JSON format",
    ),
    stu4(_DELETE, "SHALL return an error response with: HTTP status `4XX` or `5XX` FHIR `OperationOutcome` resource"),
)
async def what_is_not_there_cannot_be_deleted(provider: Provider) -> None:
    answer = await provider.server.delete(_altered((await provider.export(Kickoff())).status_url))
    must(answer.status >= 400, f"DELETE of a polling location that nobody was given is answered {answer.status}")
    answer.outcome()


def _altered(url: str) -> str:
    """Another polling location, of nobody."""
    found = list(re.finditer(r"[0-9A-Za-z]", url))
    last = found[-1]
    return url[: last.start()] + ("0" if last[0] != "0" else "1") + url[last.end() :]
