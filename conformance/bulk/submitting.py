"""Bulk submit: requests, what the server does about them, and what it says of it. Of the ballot of 4.0.0 alone."""

from __future__ import annotations

import asyncio

from conformance.bulk.check import rule, stu4
from conformance.bulk.export import wait_of
from conformance.bulk.file_server import METADATA
from conformance.bulk.provider import Provider
from conformance.bulk.submission import BASE, Submission, items, outcomes, severities, status_of
from conformance.rest.server import Answer, member, must

_REQUEST = "submit.html#request-data-consumer-endpoint"
_PARAMETERS = "submit.html#parameters"
_STATUS = "submit.html#submissionstatus-parameter"
_SECURITY = "submit.html#manifest-and-file-security"
_MANIFEST = "submit.html#manifest"
_SUCCESS = "submit.html#response---success"
_ERROR = "submit.html#response---error"
_KICK_OFF = "submit.html#kick-off-request"
_POLL = "submit.html#bulk-data-status-request"
_DELETE = "submit.html#bulk-data-delete-request"
_OUTPUT = "submit.html#response---output-manifest"
_FILES = "submit.html#bulk-data-output-file-request"
_OPERATION = "OperationDefinition-bulk-submit.html"
_SOURCE = "http://hl7.org/fhir/StructureDefinition/operationoutcome-sourceResource"


async def _done(provider: Provider) -> tuple[Submission, Answer]:
    """A submission of a good line and two bad ones, in one file, and of a file that is not there; and its end."""

    async def make() -> tuple[Submission, Answer]:
        submission = await provider.submission()
        wrong = {**submission.patient("wrong"), "birthDate": "yesterday"}
        file = submission.file("mixed", [submission.patient("good"), wrong, b"{nonsense"])
        missing = f"{submission.files.url}/{submission.id}/missing.ndjson"
        await submission.add(submission.manifest("mixed", [file, missing]), status_of("completed"))
        return submission, await submission.finish()

    return await provider.once("submission", make)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _refused(answer: Answer) -> None:
    must(400 <= answer.status < 600, f"{answer.asked} answered {answer.status}, not an error")
    answer.outcome()


@rule(stu4(_REQUEST, "The request body SHALL be a FHIR Parameters resource"))
async def the_body_is_parameters(provider: Provider) -> None:
    submission = await provider.submission()
    _refused(await provider.server.post("$bulk-submit", submission.patient("x")))
    _refused(await provider.server.post("$bulk-submit-status", submission.patient("x")))


@rule(stu4(_PARAMETERS, "At least one of the `submissionStatus` and `manifestUrl` parameters SHALL be populated."))
async def a_status_or_a_manifest_is_needed(provider: Provider) -> None:
    submission = await provider.submission()
    _refused(await submission.send())


@rule(stu4(_PARAMETERS, "When the `manifestUrl` parameter is populated, `fhirBaseUrl` SHALL be populated."))
async def a_manifest_needs_its_base(provider: Provider) -> None:
    submission = await provider.submission()
    _refused(await submission.send(manifestUrl=submission.patients("a")))


@rule(stu4(_OPERATION, "The submitter SHALL match a system and code specified by the Data Consumer"))
async def an_unknown_submitter_is_refused(provider: Provider) -> None:
    submission = await provider.submission()
    submission.submitter += "-unknown"
    _refused(await submission.send(manifestUrl=submission.patients("a"), fhirBaseUrl=BASE))


@rule(stu4(_STATUS, "Values SHALL be drawn from the Submission Status Value Set"))
async def a_status_of_another_code_is_refused(provider: Provider) -> None:
    submission = await provider.submission()
    manifest = submission.patients("a")
    _refused(await submission.send(status_of("on-hold"), manifestUrl=manifest, fhirBaseUrl=BASE))


@rule(stu4(_SUCCESS, "The Data Consumer SHALL return a successful response with HTTP status `200 OK`."))
async def a_request_is_accepted_with_200(provider: Provider) -> None:
    submission = await provider.submission()
    await submission.add(submission.patients("a"))
    await submission.end("completed")
    must(await submission.finish(), "there is no status")


@rule(stu4(_ERROR, "The Data Consumer SHALL return an error response with: HTTP status `4XX` or `5XX`"))
async def an_unknown_manifest_is_not_replaced(provider: Provider) -> None:
    submission = await provider.submission()
    await submission.add(submission.patients("a"))
    unknown = f"{submission.files.url}/unknown.json"
    manifest = submission.patients("b")
    _refused(await submission.send(manifestUrl=manifest, fhirBaseUrl=BASE, replacesManifestUrl=unknown))


@rule(
    stu4(
        _MANIFEST,
        "the Data Provider MAY call the Bulk Submit operation multiple times … to indicate that the contents of those "
        "manifests are part of a single submission.",
    )
)
async def all_manifests_are_taken_over(provider: Provider) -> None:
    submission = await provider.submission()
    for name in ("a", "b", "c"):
        await submission.add(submission.patients(name))
    await submission.end("completed")
    await submission.finish()
    must([await submission.stored(name) for name in "abc"] == [True] * 3, "not all manifests' resources are there")


@rule(
    stu4(
        _STATUS,
        "`stopped`: The submission is invalid. The Data Consumer SHALL stop retrieving files and delete any data "
        "already processed from this submission.",
    )
)
async def what_is_stopped_is_undone(provider: Provider) -> None:
    submission = await provider.submission()
    kept = await provider.server.request("PUT", f"Patient/{submission.id}-old", submission.patient("old"))
    kept.expect(200, 201)
    changed = {**submission.patient("old"), "gender": "male"}
    file = submission.file("a", [submission.patient("new"), changed])
    manifest = submission.manifest("a", [file])
    await submission.add(manifest)
    await _processed(submission, manifest)
    must(await submission.stored("new"), "a manifest is said to be processed, and its resource is not there")
    await submission.end("stopped")
    await submission.finish()
    must(not await submission.stored("new"), "a resource of a stopped submission is still there")
    found = (await provider.server.get(f"Patient/{submission.id}-old")).expect(200).json()
    must(found.get("gender") == "other", "a resource that was there before is not as it was")


async def _processed(submission: Submission, manifest: str) -> None:
    """Waits until the status lists an outcome of the manifest, though the submission is in progress."""
    where = (await submission.ask()).expect(202).header("Content-Location")
    for _ in range(300):
        answer = (await submission.server.get(where, {"Accept": "application/json"})).expect(202, 429)
        listed = _list(answer.json().get("outcome")) if answer.status == 202 and answer.body else []
        if any(member(one, "manifestUrl") == manifest for one in listed):
            return
        await asyncio.sleep(min(wait_of(answer), 1.0))
    must(False, "a manifest is not processed while the submission is in progress")


@rule(
    stu4(
        _OPERATION,
        "When provided, Data Consumer SHALL replace the data in the referenced manifest with the one in the "
        "current request.",
    )
)
async def a_manifest_is_replaced(provider: Provider) -> None:
    submission = await provider.submission()
    first, second = submission.patients("first"), submission.patients("second")
    await submission.add(first)
    await submission.add(second, status_of("completed"), replacesManifestUrl=first)
    await submission.finish()
    must(not await submission.stored("first"), "the data of a replaced manifest are still there")
    must(await submission.stored("second"), "the data of the manifest that replaces another are not there")


@rule(
    stu4(
        _SECURITY,
        "the Data Consumer SHALL provide the listed header name and value pairs when requesting a manifest or data "
        "file.",
    )
)
async def the_headers_are_sent(provider: Provider) -> None:
    submission = await provider.submission()
    file = submission.file("a", [submission.patient("a")])
    manifest = submission.manifest("a", [file])
    parts = [{"name": "headerName", "valueString": "X-Check"}, {"name": "headerValue", "valueString": submission.id}]
    await submission.add(manifest, {"name": "fileRequestHeader", "part": parts}, status_of("completed"))
    await submission.finish()
    for url in (manifest, file):
        seen = submission.files.asked_for(url)
        must(seen, f"{url} was not requested")
        must(all(one.headers.get("x-check") == submission.id for one in seen), "a request came without the header")


@rule(
    stu4(
        _SECURITY,
        "the Data Consumer SHALL obtain and use a valid token when retrieving the manifest at `manifestUrl`.",
    ),
)
async def a_token_is_used(provider: Provider) -> None:
    submission, manifest, _ = await _protected(provider)
    must(
        any(one.headers.get("authorization", "").startswith("Bearer ") for one in submission.files.asked_for(manifest)),
        "the manifest was not requested with a token",
    )


@rule(
    stu4(
        _SECURITY,
        "the Data Consumer SHALL obtain and use a token scoped to read the resource types included in the manifest "
        "when retrieving the referenced files.",
    )
)
async def a_token_is_scoped_to_the_types(provider: Provider) -> None:
    submission, _, file = await _protected(provider)
    must(
        any(one.headers.get("authorization", "").startswith("Bearer ") for one in submission.files.asked_for(file)),
        "the file was not requested with a token",
    )
    scopes = {scope for asked in submission.files.scopes for scope in asked.split()}
    must(
        scopes & {"system/Patient.rs", "system/Patient.r", "system/Patient.read", "system/*.rs", "system/*.read"},
        f"no token may read Patients: {sorted(scopes)}",
    )
    must(await submission.stored("a"), "a resource of a protected file is not there")


async def _protected(provider: Provider) -> tuple[Submission, str, str]:
    """A submission that needs a token, done; its manifest and its file."""

    async def make() -> tuple[Submission, str, str]:
        submission = await provider.submission()
        file = submission.file("a", [submission.patient("a")], folder="/protected")
        manifest = submission.manifest("a", [file], folder="/protected", requiresAccessToken=True)
        await submission.add(manifest, status_of("completed"), oauthMetadataUrl=submission.files.url + METADATA)
        await submission.finish()
        return submission, manifest, file

    return await provider.once("protected", make)


@rule(
    stu4(
        _MANIFEST,
        "The manifest MAY contain a `link` field, and when present, the Data Consumer SHALL follow this link to "
        "retrieve additional manifests.",
    )
)
async def links_are_followed(provider: Provider) -> None:
    submission = await provider.submission()
    second = submission.patients("second")
    files = [submission.file("first", [submission.patient("first")])]
    first = submission.manifest("first-page", files, link=[{"relation": "next", "url": second}])
    await submission.add(first, status_of("completed"))
    await submission.finish()
    must(await submission.stored("first"), "the first page's resource is not there")
    must(await submission.stored("second"), "the second page's resource is not there")


# --- the status -----------------------------------------------------------------------------------------------


@rule(
    stu4(
        "submit.html#response---success-1",
        "The Data Consumer SHALL return a successful kick-off response with: HTTP status `202 Accepted` … "
        "`Content-Location` header with the absolute URL of an endpoint for subsequent status requests",
    )
)
async def a_status_has_a_location(provider: Provider) -> None:
    submission, _ = await _done(provider)
    where = (await submission.ask()).expect(202).header("Content-Location")
    must(where.startswith(("http://", "https://")), f"Content-Location is not absolute: {where}")


@rule(
    stu4(
        _KICK_OFF,
        "the Data Consumer SHALL return the header `Preference-Applied` with values of `respond-async` and "
        "`separate-export-status` in its response.",
    )
)
async def a_separate_status_is_told(provider: Provider) -> None:
    submission, _ = await _done(provider)
    kicked = (await submission.ask("separate-export-status")).expect(202)
    applied = kicked.headers.get("Preference-Applied", "")
    if "separate-export-status" not in applied:
        return  # it is not supported, which is possible
    must("respond-async" in applied, f"Preference-Applied lacks respond-async: {applied}")
    answer = (await provider.server.get(kicked.header("Content-Location"))).expect(200)
    must(answer.header("X-Export-Status").startswith("200"), "X-Export-Status is not that of the submission")


@rule(
    stu4(
        "submit.html#response---error-1",
        "The Data Consumer SHALL return an error response with: HTTP status `4XX` or `5XX`; FHIR `OperationOutcome` "
        "resource in the body in JSON format",
    )
)
async def the_status_of_nothing_is_an_error(provider: Provider) -> None:
    _refused(await (await provider.submission()).ask())


@rule(
    stu4(
        _OUTPUT,
        "The Data Consumer MAY return a partial status manifest and an HTTP status of `202 Accepted` while the "
        "submission is incomplete or is still being processed.",
    )
)
async def what_is_in_progress_is_202(provider: Provider) -> None:
    submission = await provider.submission()
    await submission.add(submission.patients("a"))
    where = (await submission.ask()).expect(202).header("Content-Location")
    answer = (await provider.server.get(where)).expect(202)
    must(len(answer.headers.get("X-Progress", "")) < 100, "X-Progress has 100 characters or more")
    await submission.end("completed")
    must((await submission.finish()).status == 200, "a completed submission is not answered 200")


@rule(
    stu4(
        _OUTPUT,
        "Once the submission is complete … the Data Consumer SHALL return a status manifest and an HTTP status of `200 "
        "OK`.",
    )
)
async def what_is_complete_is_200(provider: Provider) -> None:
    submission, done = await _done(provider)
    must(done.status == 200, f"a complete submission is answered {done.status}")
    must(await submission.stored("good"), "a good line's resource is not there")


@rule(stu4(_POLL, "The response SHALL include a `Content-Type` header of `application/json`"))
async def the_manifest_is_json(provider: Provider) -> None:
    _, done = await _done(provider)
    must(done.media_type == "application/json", f"the status manifest is {done.media_type}")


@rule(stu4(_POLL, "The Data Consumer SHOULD return an `Expires` header"))
async def the_end_of_the_files_is_told(provider: Provider) -> None:
    _, done = await _done(provider)
    done.header("Expires")


@rule(stu4(_POLL, "A Data Consumer SHOULD supply a `Retry-After` header"))
async def the_next_poll_is_told(provider: Provider) -> None:
    submission = await provider.submission()
    await submission.add(submission.patients("a"))
    where = (await submission.ask()).expect(202).header("Content-Location")
    wait_of((await provider.server.get(where)).expect(202))
    must((await provider.server.get(where)).header("Retry-After"), "there is no Retry-After")


@rule(stu4(_OUTPUT, "Each manifest SHALL include `submissionId` at the root."))
async def the_manifest_names_the_submission(provider: Provider) -> None:
    submission, done = await _done(provider)
    must(done.at("submissionId") == submission.id, f"submissionId is {done.at('submissionId')}")


@rule(
    stu4(
        _OUTPUT,
        "Each item in the `outcome` section of the manifest SHALL include `manifestUrl` to link the OperationOutcome "
        "file to the submitted manifest where the issue occurred.",
    )
)
async def outcomes_name_their_manifest(provider: Provider) -> None:
    submission, done = await _done(provider)
    found = await items(submission, done)
    must(found, "there is no outcome")
    must(
        all(str(item.get("manifestUrl", "")).endswith(f"{submission.id}/mixed.json") for item in found),
        "an outcome lacks the URL of its manifest",
    )


@rule(
    stu4(
        _OUTPUT, "Each `outcome` item SHALL also include `url`, pointing to a bulk file of OperationOutcome resources."
    )
)
async def outcomes_are_files(provider: Provider) -> None:
    found = await outcomes(*await _done(provider))
    must(found, "there is no OperationOutcome")
    must(all(one.get("resourceType") == "OperationOutcome" for one in found), "a line is no OperationOutcome")


@rule(
    stu4(
        _OUTPUT,
        "the Data Consumer SHALL populate the `outcome` section of the manifest with one or more files that contain "
        "OperationOutcome resources. For example, the Data Consumer may want to indicate that there are files from the "
        "Data Provider it was unable to retrieve, resources that failed validation",
    )
)
async def what_went_wrong_is_told(provider: Provider) -> None:
    found = [one for one in await outcomes(*await _done(provider)) if severities(one) & {"error", "fatal"}]
    must(len(found) >= 3, f"two bad lines and a missing file have {len(found)} outcomes")


@rule(
    stu4(
        _OUTPUT,
        "If an issue is related to individual resources submitted by the Data Provider, the corresponding "
        "OperationOutcome SHOULD use the operationoutcome-sourceResource extension at its root to reference those "
        "resources.",
    )
)
async def outcomes_name_their_resource(provider: Provider) -> None:
    submission, done = await _done(provider)
    named = [
        str(member(extension, "valueReference", "reference"))
        for one in await outcomes(submission, done)
        for extension in _list(one.get("extension"))
        if member(extension, "url") == _SOURCE
    ]
    must(
        any(f"Patient/{submission.id}-wrong" in reference for reference in named), f"the bad resource is not in {named}"
    )


@rule(
    stu4(
        _OUTPUT,
        "The Data Consumer MAY include `countSeverity`, populated as an array of `code` / `count` objects summarizing "
        "the `OperationOutcome.issue.severity` values present in that file.",
    )
)
async def severities_are_counted(provider: Provider) -> None:
    submission, done = await _done(provider)
    for item in await items(submission, done):
        counted = item.get("countSeverity")
        if isinstance(counted, list):
            codes = {member(one, "code") for one in counted}
            must(codes <= {"fatal", "error", "warning", "information"}, f"countSeverity has {codes}")
            must("error" in codes or "fatal" in codes, "countSeverity has no error, but there are some")


@rule(stu4(_FILES, "For files in NDJSON format, the `Content-Type` header SHALL be `application/fhir+ndjson`."))
async def files_are_ndjson(provider: Provider) -> None:
    submission, done = await _done(provider)
    for item in await items(submission, done):
        answer = (await provider.server.get(str(item.get("url")))).expect(200)
        must(answer.media_type == "application/fhir+ndjson", f"a file is {answer.media_type}")


@rule(
    stu4(
        _DELETE,
        "Following the delete request, when subsequent requests are made to the polling location, the Data Consumer "
        "SHALL return a `404 Not Found` error and an associated FHIR `OperationOutcome` resource in JSON format.",
    )
)
async def a_deleted_location_is_gone(provider: Provider) -> None:
    submission, _ = await _done(provider)
    where = (await submission.ask()).expect(202).header("Content-Location")
    (await provider.server.delete(where)).expect(202)
    (await provider.server.get(where)).expect(404).outcome()
