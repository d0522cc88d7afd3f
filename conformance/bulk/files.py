"""Output files: requests, content, organization, attachments."""

from __future__ import annotations

import gzip
from collections import Counter
from urllib.parse import urljoin

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.export import Skipped, ndjson
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.bulk.seeds import CONTENT
from conformance.rest.server import Json, member, must

_FILE = "#bulk-data-output-file-request"
_ORGANIZATION = "#bulk-data-output-file-organization"
_ATTACHMENTS = "#attachments"
_MANIFEST = "#response---output-manifest"
_BY_PATIENT = Kickoff("Patient", (("organizeOutputBy", "Patient"),))


@rule(both(_MANIFEST, _MANIFEST, "The files SHALL be accessible to the {client} at the URLs advertised."))
async def the_files_are_there(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    must(export.items(), "output is empty")
    for item in export.items():
        await export.download(item)


@rule(
    stu3(
        _FILE,
        'then the output URLs SHALL be dereferenceable directly (a "capability URL")',
    ),
    stu4(_FILE, "then the URLs SHALL be dereferenceable directly as capability URLs."),
)
async def files_that_require_no_token_are_there_without_one(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    if export.manifest.get("requiresAccessToken") is not False:
        raise Skipped("requiresAccessToken is true")
    for item in export.items():
        (await provider.server.get(str(item.get("url")), anonymous=True)).expect(200)


@rule(
    stu3(_FILE, "For files in NDJSON format, SHALL be `application/fhir+ndjson`"),
    stu4(_FILE, "For files in NDJSON format, the `Content-Type` header SHALL be `application/fhir+ndjson`."),
)
async def files_are_fhir_ndjson(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    for item in export.items():
        kind = (await export.download(item)).media_type
        must(kind == "application/fhir+ndjson", f"a file is {kind}")


@rule(
    stu3(_FILE, "The exported data SHALL include only the most recent version of any exported resources"),
    stu4(_FILE, "Returned content SHALL include only the most recent version of any returned resources"),
)
async def there_is_one_version_of_each_resource(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.export(Kickoff())
    lines = await export.lines()
    times = Counter(f"{one.get('resourceType')}/{one.get('id')}" for one in lines)
    must(all(times[path] == 1 for path in seeds.all), "a resource is exported twice, or not at all")
    anna = (await export.resources())[seeds.anna]
    must(member(anna, "address", 0, "city") == "Paris", "an older version is exported")


@rule(
    both(
        _FILE,
        _FILE,
        "files as uncompressed, with `gzip` compression, or with another compression format from the `Accept-Encoding` "
        "header.",
    )
)
async def files_are_encoded_as_the_client_accepts(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    url = export.first_url()
    plain = (await provider.server.get(url, {"Accept-Encoding": "identity"})).expect(200)
    must("Content-Encoding" not in plain.headers, "the file is encoded, though identity was asked for")
    packed = (await provider.server.get(url, {"Accept-Encoding": "gzip"})).expect(200)
    must(packed.headers.get("Content-Encoding", "gzip") == "gzip", "the file has another encoding than gzip")
    must(plain.body == packed.body, "the file differs with its encoding")


@rule(
    stu3(
        _FILE,
        "SHALL communicate this to the client by including a `Content-Encoding` header in the response.",
    ),
    stu4(
        _FILE,
        "SHALL communicate this to the Data Consumer by including a `Content-Encoding` header in the response.",
    ),
)
async def the_encoding_is_told(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    for item in export.items():
        answer = await provider.server.get(str(item.get("url")), {"Accept-Encoding": "gzip"})
        must(answer.body[:2] != gzip.compress(b"")[:2], "a file is compressed, and no Content-Encoding says so")
        ndjson(answer)


@rule(
    stu3(_FILE, "HTTP Status Code of `4XX` or `5XX`"),
    stu4(_FILE, "SHALL return an error response with HTTP status `4XX` or `5XX`."),
)
async def a_file_that_is_not_there_is_an_error(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    url = export.first_url().partition("?")[0]
    answer = await provider.server.get(urljoin(url, "no-such-file-of-the-checks.ndjson"))
    must(answer.status >= 400, f"a file that is not there is answered {answer.status}")


@rule(
    both(
        _ORGANIZATION,
        _ORGANIZATION,
        "When the `organizeOutputBy` kickoff parameter is not populated, each output file SHALL contain resources of "
        "only one type",
    )
)
async def a_file_has_one_type(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    for item in export.items():
        types = {str(one.get("resourceType")) for one in ndjson(await export.download(item))}
        must(types == {item.get("type")}, f"a file of {item.get('type')} has {', '.join(sorted(types))}")


# --- organizeOutputBy ---------------------------------------------------------------------------------------------


def _blocks(lines: list[Json]) -> list[tuple[str, list[Json]]]:
    """The blocks of a file: the reference of the header, and the resources after it."""
    found: list[tuple[str, list[Json]]] = []
    for line in lines:
        if line.get("resourceType") == "Parameters" and member(line, "parameter", 0, "name") == "header":
            found.append((str(member(line, "parameter", 0, "valueReference", "reference")), []))
            continue
        must(found, "a file does not begin with a header")
        found[-1][1].append(line)
    return found


async def _organized(provider: Provider) -> list[tuple[str, list[Json]]]:
    export = await provider.optional(_BY_PATIENT, "organizeOutputBy")
    found = []
    for item in await export.all_items():
        found += _blocks(ndjson(await export.download(item)))
    return found


@rule(
    both(
        _ORGANIZATION,
        _ORGANIZATION,
        "the output files SHALL be populated with blocks consisting of a header `Parameters` resource containing a "
        "parameter named `header` with a reference to a resource of the type in the kickoff parameter, followed by the "
        "resource referenced in this header and resources that reference the resource referenced in the header",
    )
)
async def blocks_have_a_header_and_its_resource(provider: Provider) -> None:
    seeds = await provider.seeds()
    blocks = await _organized(provider)
    must(seeds.patients <= {reference for reference, _ in blocks}, "a Patient has no block")
    for reference, resources in blocks:
        must(reference.startswith("Patient/"), f"a header refers to {reference}")
        if reference in seeds.patients:
            first = f"{member(resources[0], 'resourceType')}/{member(resources[0], 'id')}" if resources else ""
            must(first == reference, f"the block of {reference} begins with {first}")


@rule(
    both(
        "#query-parameters",
        "OperationDefinition-patient-export.html",
        "SHALL organize the resources in output files by instances of the specified resource type, including a "
        "header for each resource of the type specified in the parameter, followed by the resource and resources in "
        "the output that contain references to that resource.",
    )
)
async def a_block_has_what_refers_to_its_resource(provider: Provider) -> None:
    seeds = await provider.seeds()
    expected = {seeds.anna: {seeds.final, seeds.preliminary, seeds.amended, seeds.note}, seeds.bert: {seeds.berts}}
    found: dict[str, set[str]] = {}
    for reference, resources in await _organized(provider):
        paths = {f"{one.get('resourceType')}/{one.get('id')}" for one in resources}
        found.setdefault(reference, set()).update(paths)
    for patient, paths in expected.items():
        must(paths <= found.get(patient, set()), f"what refers to {patient} is not in its block")
    must(seeds.berts not in found.get(seeds.anna, set()), "a block has what belongs to another")


@rule(
    both(
        _ORGANIZATION,
        _ORGANIZATION,
        "Each output file MAY contain multiple resource blocks and, when possible, a single resource's block SHOULD "
        "NOT be split across files.",
    )
)
async def a_small_block_is_not_split(provider: Provider) -> None:
    times = Counter(reference for reference, _ in await _organized(provider))
    seeds = await provider.seeds()
    must(all(times[patient] == 1 for patient in seeds.patients), "the block of a Patient is split")


@rule(
    stu3(_MANIFEST, "the `type` field SHALL NOT be populated."),
    stu4(
        "StructureDefinition-BulkDataManifest.html",
        "When the manifest includes the outputOrganizedBy element, this element SHALL NOT be populated.",
    ),
)
async def organized_files_have_no_type(provider: Provider) -> None:
    export = await provider.optional(_BY_PATIENT, "organizeOutputBy")
    must(not any("type" in item for item in await export.all_items()), "an item has a type")


@rule(
    stu3(_MANIFEST, "The organizeOutputBy value from the Bulk Data kick-off request when populated and supported."),
    stu4(
        "StructureDefinition-BulkDataManifest.html",
        "When resources in the output files are organized by instances of a resource type, that resource type is "
        "specified here.",
    ),
)
async def the_manifest_says_what_organizes_it(provider: Provider) -> None:
    told = (await provider.optional(_BY_PATIENT, "organizeOutputBy")).manifest.get("outputOrganizedBy")
    must(told == "Patient", f"outputOrganizedBy is {told}")


@rule(
    stu4(
        "StructureDefinition-BulkDataManifest.html",
        "When each output file contains a single resource type, this element SHALL be omitted and an individual type "
        "element SHALL be included for each file in the output array.",
    )
)
async def without_organization_the_manifest_says_nothing_of_it(provider: Provider) -> None:
    must("outputOrganizedBy" not in (await provider.export(Kickoff())).manifest, "the manifest has outputOrganizedBy")


@rule(
    both(
        "#query-parameters",
        "OperationDefinition-patient-export.html",
        "unable to structure output by the requested `organizeOutputBy` resource SHOULD return an error and",
    )
)
async def organizing_by_what_is_no_type_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff("Patient", (("organizeOutputBy", "NoSuchType"),)))


# --- attachments --------------------------------------------------------------------------------------------------


async def _attachment(provider: Provider) -> Json:
    note = (await (await provider.export(Kickoff("Patient"))).resources()).get((await provider.seeds()).note)
    must(note is not None, "the DocumentReference is missing")
    found = member(note, "content", 0, "attachment")
    must(isinstance(found, dict), "the DocumentReference has no attachment")
    return dict(found) if isinstance(found, dict) else {}


@rule(
    both(
        _ATTACHMENTS,
        _ATTACHMENTS,
        "SHOULD populate the `Attachment.contentType` code as well as either the `data` element or the `url` element.",
    )
)
async def an_attachment_has_type_and_content(provider: Provider) -> None:
    attachment = await _attachment(provider)
    must(attachment.get("contentType") == "text/plain", "contentType is missing")
    must("data" in attachment or "url" in attachment, "the attachment has neither data nor url")


@rule(
    stu3(
        _ATTACHMENTS,
        "the url element SHALL be an absolute url that can be de-referenced to the attachment's content.",
    ),
    stu4(
        _ATTACHMENTS,
        "the `url` element SHALL be an absolute URL that can be dereferenced to the attachment's content.",
    ),
)
async def the_url_of_an_attachment_leads_to_its_content(provider: Provider) -> None:
    attachment = await _attachment(provider)
    if "data" in attachment:
        raise Skipped("the attachment has its data")
    url = str(attachment.get("url"))
    must(url.startswith(("http://", "https://")), f"the URL of an attachment is {url}")
    answer = (await provider.server.get(url, {"Accept": "text/plain"})).expect(200)
    must(answer.body == CONTENT, "the URL of an attachment leads to something else")


@rule(
    both(
        "#bulk-data-kick-off-request",
        "#kick-off-request",
        "Binary Resources whose content is associated with an individual patient SHALL be serialized as "
        "DocumentReference Resources with the `content.attachment` element populated",
    )
)
async def a_patients_binary_is_exported_as_document_reference(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.export(Kickoff())).resources())
    must(seeds.note in found, "the DocumentReference is missing")
    must(seeds.binary not in found, "a Binary of a patient is exported as it is")
