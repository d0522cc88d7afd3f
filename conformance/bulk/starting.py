"""Kick-off: methods, headers, and the two kinds of answer."""

from __future__ import annotations

import asyncio

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.export import Skipped
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import must

_KICKOFF = ("#bulk-data-kick-off-request", "#kick-off-request")
_HEADERS = ("#headers", "#headers")
_SUCCESS = "#response---success"
_ERROR = "#response---error-eg-unsupported-search-parameter"
_SEPARATE = ("separate-export-status",)
_UNSUPPORTED = ("_no-such-parameter", "1")
FORMATS = ("application/fhir+ndjson", "application/ndjson", "ndjson")
_FLOOD = 40


@rule(stu3(_KICKOFF[0], "A server SHALL support GET requests"))
async def get_kicks_off(provider: Provider) -> None:
    await provider.start(Kickoff(parameters=(("_type", "Patient"),), method="GET"))


@rule(
    stu3(
        _KICKOFF[0],
        "The Resource FHIR server SHALL support invocation of this operation using the FHIR Asynchronous Request "
        "Pattern.",
    ),
    stu4(
        _KICKOFF[1],
        "The Data Provider's FHIR Resource Server SHALL support invocation of this operation using HTTP POST and the "
        "FHIR Asynchronous Bulk Interaction Pattern.",
    ),
)
async def it_is_answered_at_once_and_done_later(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    must(export.accepted.status == 202 and export.done.status == 200, "it is not 202 first and 200 in the end")


@rule(stu4(_KICKOFF[1], "Request parameters SHALL be supplied using the FHIR Parameters Resource."))
async def post_takes_parameters(provider: Provider) -> None:
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"),), method="POST"))
    types = {str(one.get("resourceType")) for one in await export.lines()}
    must(types == {"Patient"}, f"_type=Patient in Parameters gave {', '.join(sorted(types))}")


@rule(
    stu4(
        "CapabilityStatement-bulk-data.html",
        "GET requests SHALL NOT be used to kick off a Bulk Data Export Operation.",
    )
)
async def get_does_not_kick_off(provider: Provider) -> None:
    await provider.refused(Kickoff(method="GET"))


@rule(
    stu3(
        _KICKOFF[0],
        "The server SHALL treat the values provided as if they were comma delimited values within a single instance of "
        "the parameter.",
    )
)
async def repeated_values_are_as_a_list(provider: Provider) -> None:
    listed = await provider.export(Kickoff(parameters=(("_type", "Patient,Observation"),)))
    repeated = await provider.export(Kickoff(parameters=(("_type", "Patient"), ("_type", "Observation"))))
    seeds = await provider.seeds()
    for export in (listed, repeated):
        types = {str(one.get("resourceType")) for one in await export.lines()}
        must(types == {"Patient", "Observation"}, f"{export.kickoff.parameters} gave {', '.join(sorted(types))}")
        must(seeds.patients | seeds.observations <= set(await export.resources()), "some of the resources are missing")


@rule(stu4(_KICKOFF[1], "a Data Consumer MAY repeat the kick-off parameter by including multiple"))
async def values_may_be_repeated(provider: Provider) -> None:
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"), ("_type", "Observation"))))
    types = {str(one.get("resourceType")) for one in await export.lines()}
    must(types == {"Patient", "Observation"}, f"two _type gave {', '.join(sorted(types))}")


@rule(
    stu3(_SUCCESS, "HTTP Status Code of `202 Accepted`"),
    stu4(_SUCCESS, "The Data Provider SHALL return a successful kick-off response with: HTTP status `202 Accepted`"),
)
async def it_is_accepted(provider: Provider) -> None:
    must((await provider.export(Kickoff())).accepted.status == 202, "the status is not 202")


@rule(
    both(
        _SUCCESS,
        _SUCCESS,
        "`Content-Location` header with the absolute URL of an endpoint for subsequent status requests (polling "
        "location)",
    )
)
async def the_polling_location_is_absolute(provider: Provider) -> None:
    url = (await provider.export(Kickoff())).status_url
    must(url.startswith(("http://", "https://")), f"Content-Location is {url}")


@rule(
    both(
        _SUCCESS,
        _SUCCESS,
        "is provided in the kickoff request and supported by the {server}, the response SHALL include the header "
        "`Preference-Applied` with values of `respond-async` and `separate-export-status`.",
    )
)
async def preferences_are_told(provider: Provider) -> None:
    applied = await _separate(provider)
    must({"respond-async", "separate-export-status"} <= applied, f"Preference-Applied: {', '.join(sorted(applied))}")


async def _separate(provider: Provider) -> set[str]:
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"),), prefer=_SEPARATE))
    told = export.accepted.headers.get("Preference-Applied", "")
    applied = {each.strip() for each in told.split(",") if each.strip()}
    if "separate-export-status" not in applied:
        raise Skipped("the server does not support separate-export-status")
    return applied


@rule(
    both(
        "#headers",
        "#headers",
        "SHALL reflect the status request itself, and not the export job.",
    )
)
async def the_status_of_a_poll_is_its_own(provider: Provider) -> None:
    await _separate(provider)
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"),), prefer=_SEPARATE))
    for answer in (*export.polls, export.done):
        must(answer.status == 200, f"a poll was answered {answer.status}")


@rule(
    both(
        "#headers",
        "#headers",
        "the response SHALL also include an `X-Export-Status` header with an HTTP status code that reflects the status "
        "of the export job.",
    )
)
async def the_status_of_the_export_is_told(provider: Provider) -> None:
    await _separate(provider)
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"),), prefer=_SEPARATE))
    if not export.polls:
        raise Skipped("the export was done at once")
    for answer in export.polls:
        must(answer.header("X-Export-Status").startswith("202"), "X-Export-Status of an export under way is not 202")
    must(export.done.header("X-Export-Status").startswith("200"), "X-Export-Status of a complete export is not 200")


@rule(
    stu3(
        "#response---in-progress-status",
        "HTTP Status Code of `202 Accepted` (when a prefer header value of `separate-export-status` was not provided "
        "in the kickoff)",
    ),
    stu4("#response---in-progress-status", "No `separate-export-status` | `202 Accepted` | Not present"),
)
async def without_the_preference_there_is_no_second_status(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    for answer in (*export.polls, export.done):
        must("X-Export-Status" not in answer.headers, "X-Export-Status was not asked for")


@rule(
    stu3(_ERROR, "HTTP Status Code of `4XX` or `5XX`"),
    stu4(_ERROR, "The Data Provider SHALL return an error response with: HTTP status `4XX` or `5XX`"),
)
async def an_unsupported_parameter_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff(parameters=(_UNSUPPORTED,)))


@rule(
    stu3(_ERROR, "The body SHALL be a FHIR `OperationOutcome` resource in JSON format"),
    stu4(_ERROR, "FHIR `OperationOutcome` resource in the body in JSON format"),
)
async def errors_are_operation_outcomes_in_json(provider: Provider) -> None:
    answer = await provider.refused(Kickoff(parameters=(_UNSUPPORTED,)))
    must(answer.media_type in ("application/fhir+json", "application/json"), f"the error is {answer.media_type}")


@rule(
    both(
        "#query-parameters",
        "OperationDefinition-export.html",
        "SHALL accept the full content type of `application/fhir+ndjson` as well as the abbreviated representations "
        "`application/ndjson` and `ndjson`.",
    )
)
async def each_name_of_ndjson_is_accepted(provider: Provider) -> None:
    for name in FORMATS:
        await provider.start(Kickoff(parameters=(("_outputFormat", name), ("_type", "Patient"))))


@rule(
    both(
        "#query-parameters",
        "OperationDefinition-export.html",
        "SHALL support Newline Delimited JSON, but MAY choose to support additional output formats.",
    )
)
async def the_default_is_ndjson(provider: Provider) -> None:
    await (await provider.export(Kickoff())).lines()


@rule(
    both(
        _ERROR,
        _ERROR,
        "it SHOULD respond with a `429 Too Many Requests` status and a `Retry-After` header",
    ),
    alone=True,
)
async def too_many_exports_are_refused_with_429(provider: Provider) -> None:
    await provider.require("")
    method, path, body = Kickoff(parameters=(("_type", "Patient"),)).request(provider.version)
    flood = [provider.server.request(method, path, body, headers=Kickoff().headers()) for _ in range(_FLOOD)]
    answers = await asyncio.gather(*flood)
    begun = [answer.header("Content-Location") for answer in answers if answer.status == 202]
    await asyncio.gather(*map(provider.server.delete, begun))
    refusal = next((answer for answer in answers if answer.status != 202), None)
    if refusal is None:
        raise Skipped(f"the server takes {_FLOOD} exports at once")
    must(refusal.status == 429, f"with {len(begun)} exports under way, one more is answered {refusal.status}")
    refusal.header("Retry-After")
