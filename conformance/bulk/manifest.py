"""The output manifest: its members in both wire versions, and what they say."""

from __future__ import annotations

import re
from datetime import datetime

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.export import Export, Skipped, ndjson
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import Json, member, must

_MANIFEST = "#response---output-manifest"
_MODEL = "StructureDefinition-BulkDataManifest.html"
_CHANGES = "changes.html"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _moment(value: object, name: str) -> datetime:
    must(isinstance(value, str) and _INSTANT.fullmatch(value), f"{name} is no instant: {value}")
    return datetime.fromisoformat(str(value).replace("Z", "+00:00"))


@rule(
    stu3(_MANIFEST, "SHALL include any matching resources modified up to and including this instant."),
    stu4(_MODEL, "SHALL include any matching resources modified up to and including this instant."),
)
async def what_was_there_at_the_kickoff_is_exported(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.export(Kickoff())
    _moment(export.manifest.get("transactionTime"), "transactionTime")
    must(seeds.all <= set(await export.resources()), "some of what was written before the kick-off is missing")


@rule(
    stu3(_MANIFEST, "The response SHOULD NOT include any resources modified after this instant"),
    stu4(_MODEL, "SHOULD NOT include any resources modified after this instant"),
)
async def nothing_newer_than_transaction_time_is_exported(provider: Provider) -> None:
    await provider.seeds()
    export = await provider.start(Kickoff(parameters=(("_type", "Patient"),)))
    for _ in range(3):
        await provider.server.created({"resourceType": "Patient", "active": True})
    await export.finish()
    until = _moment(export.manifest.get("transactionTime"), "transactionTime")
    for path, resource in (await export.resources()).items():
        updated = member(resource, "meta", "lastUpdated")
        must(updated is None or _moment(updated, "lastUpdated") <= until, f"{path} was modified after transactionTime")


@rule(stu3(_MANIFEST, "The full URL of the original Bulk Data kick-off request."))
async def the_request_is_repeated(provider: Provider) -> None:
    kickoff = Kickoff(parameters=(("_type", "Observation"),))
    request = str((await provider.export(kickoff)).manifest.get("request"))
    _, path, _ = kickoff.request(3)
    must(request == f"{provider.server.base}/{path}", f"request is {request}")


@rule(stu4(_CHANGES, "Removed the deprecated `request` element."))
async def there_is_no_request(provider: Provider) -> None:
    must("request" not in (await provider.export(Kickoff())).manifest, "the manifest has request")


@rule(stu4(_CHANGES, "Renamed the `error` element to `outcome`."))
async def messages_are_outcome(provider: Provider) -> None:
    must("error" not in (await provider.export(Kickoff())).manifest, "the manifest has error")


@rule(stu4(_MODEL, "Canonical URL of the logical model that defines the structure of this manifest."))
async def the_manifest_type_is_right(provider: Provider) -> None:
    told = (await provider.export(Kickoff())).manifest.get("manifestType")
    if told is None:
        raise Skipped("the manifest has no manifestType, which is optional")
    must(str(told).endswith("/StructureDefinition/BulkDataManifest"), f"manifestType is {told}")


@rule(stu4(_MODEL, "MIME type of the referenced bulk data output files."))
async def the_output_format_is_right(provider: Provider) -> None:
    told = (await provider.export(Kickoff())).manifest.get("outputFormat", "application/fhir+ndjson")
    must(told == "application/fhir+ndjson", f"outputFormat is {told}")


@rule(
    stu3(
        _MANIFEST,
        "Indicates whether downloading the generated files requires the same authorization mechanism as the `$export` "
        "operation itself.",
    ),
    stu4(
        _MODEL,
        "Indicates whether downloading the files referenced in this manifest requires the same authorization mechanism",
    ),
)
async def it_says_whether_files_require_a_token(provider: Provider) -> None:
    told = (await provider.export(Kickoff())).manifest.get("requiresAccessToken")
    must(isinstance(told, bool), f"requiresAccessToken is {told}")


@rule(
    stu3(_MANIFEST, "The `url` field SHALL be populated for each output item."),
    stu4(_MODEL, "The absolute path to the file."),
)
async def each_item_has_an_absolute_url(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    must(export.items(), "output is empty")
    for item in export.items():
        must(str(item.get("url")).startswith(("http://", "https://")), f"the URL of an item is {item.get('url')}")


@rule(
    stu3(_MANIFEST, "the `type` field SHALL be populated for each item."),
    stu4(_MODEL, "When the manifest does not include an outputOrganizedBy value, this element SHALL be populated."),
)
async def each_item_has_its_type(provider: Provider) -> None:
    for item in (await provider.export(Kickoff())).items():
        must(re.fullmatch("[A-Z][A-Za-z]+", str(item.get("type"))), f"the type of an item is {item.get('type')}")


@rule(
    stu3(_MANIFEST, "the number of resources in the file, represented as a JSON number."),
    stu4(_MODEL, "The number of resources in the file."),
)
async def counts_are_right(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    counted = [item for item in export.items() if "count" in item]
    if not counted:
        raise Skipped("no item has a count, which is optional")
    for item in counted:
        lines = ndjson(await export.download(item))
        must(type(item["count"]) is int and item["count"] == len(lines), f"count is {item['count']} of {len(lines)}")


@rule(stu4(_MODEL, "The size of the file in bytes."))
async def sizes_are_right(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    sized = [item for item in export.items() if "fileSize" in item]
    if not sized:
        raise Skipped("no item has a fileSize, which is optional")
    for item in sized:
        size = len((await export.download(item)).body)
        must(item["fileSize"] == size, f"fileSize is {item['fileSize']} of {size}")


@rule(
    stu3(_MANIFEST, "If no resources are returned from the kick-off request, the server SHOULD return an empty array."),
    stu4(_MODEL, "An array of file items with one entry for each generated file."),
)
async def an_export_of_nothing_has_an_empty_output(provider: Provider) -> None:
    empty = (await provider.seeds()).empty
    output = (await provider.export(Kickoff(empty, (("_type", "Patient"),)))).manifest.get("output", [])
    must(output == [], "the export of an empty group has files")


@rule(stu3(_MANIFEST, "If there are no relevant messages, the server SHOULD return an empty array."))
async def without_messages_error_is_empty(provider: Provider) -> None:
    told = (await provider.export(Kickoff(parameters=(("_type", "Observation"),)))).manifest.get("error")
    must(told == [], f"error is {told}")


@rule(
    stu3(
        _MANIFEST,
        "the server SHALL generate files in the same format as Bulk Data output files that contain FHIR "
        "`OperationOutcome` resources.",
    ),
    stu4(_MODEL, "Files containing OperationOutcome resources."),
)
async def messages_are_operation_outcomes(provider: Provider) -> None:
    kickoff = Kickoff(parameters=(("_type", "Patient"), ("_no-such-parameter", "1")), prefer=("handling=lenient",))
    export = await provider.optional(kickoff, "handling=lenient")
    for item in export.items(export.messages):
        answer = await export.download(item)
        must(answer.media_type == "application/fhir+ndjson", f"a file of messages is {answer.media_type}")
        for line in ndjson(answer):
            must(line.get("resourceType") == "OperationOutcome", f"a message is a {line.get('resourceType')}")


@rule(
    stu3(
        _MANIFEST,
        "Error, warning, and information messages related to the export SHOULD be included here (not in output).",
    ),
    stu4(
        _MANIFEST,
        "Error, warning, and information messages related to the export SHOULD be included in `outcome` and not in "
        "`output`.",
    ),
)
async def messages_are_not_in_output(provider: Provider) -> None:
    types = {str(one.get("resourceType")) for one in await (await provider.export(Kickoff())).lines()}
    must("OperationOutcome" not in types, "output has OperationOutcomes")


@rule(stu3(_MANIFEST, "The value of an extension element SHALL be a pre-coordinated JSON object."))
async def an_extension_is_an_object(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    told = [one["extension"] for one in (export.manifest, *export.items()) if "extension" in one]
    if not told:
        raise Skipped("the manifest has no extension")
    must(all(isinstance(one, dict) for one in told), "an extension is no object")


@rule(stu4(_CHANGES, "In STU4, the `extension` property contains an array of FHIR Extension elements."))
async def extensions_are_an_array(provider: Provider) -> None:
    export = await provider.export(Kickoff())
    told = [one["extension"] for one in (export.manifest, *export.items()) if "extension" in one]
    if not told:
        raise Skipped("the manifest has no extension")
    must(all(isinstance(one, list) for one in told), "extension is no array")


# --- deleted ----------------------------------------------------------------------------------------------------


async def _since(provider: Provider) -> tuple[Export, list[Json]]:
    """An export with _since, and the lines of its files of deletions."""
    seeds = await provider.seeds()
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"), ("_since", seeds.middle))))
    if not export.manifest.get("deleted"):
        raise Skipped("the server tells no deletions, and may have reasons for that")
    return export, await export.lines("deleted")


def _urls(bundles: list[Json]) -> set[str]:
    found = set()
    for bundle in bundles:
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            found.add(str(member(entry, "request", "url")))
    return found


@rule(
    stu3(
        _MANIFEST,
        "When a `_since` timestamp is supplied in the export request, this array SHOULD be populated with output files "
        "containing FHIR Transaction Bundles that indicate which FHIR resources match the kick-off request criteria, "
        "but have been deleted subsequent to the `_since` date.",
    ),
    stu4(
        _MANIFEST,
        "When the `_since` timestamp is supplied in the export request, the `deleted` array SHOULD be populated with "
        "files containing FHIR transaction Bundles for resources that match the kick-off request criteria but were "
        "deleted after the `_since` date.",
    ),
)
async def deletions_are_told(provider: Provider) -> None:
    _, bundles = await _since(provider)
    must((await provider.seeds()).gone in _urls(bundles), "a Patient was deleted after _since, and nothing tells it")


@rule(
    stu3(
        _MANIFEST,
        "Each line in the output file SHALL contain a FHIR Bundle with a type of `transaction` which SHALL contain "
        "one or more entry items that reflect a deleted resource.",
    ),
    stu4(
        _MODEL,
        "Each line in the output files SHALL contain a FHIR Bundle with a type of transaction which SHALL contain "
        "one or more entry items that reflect a deleted resource.",
    ),
)
async def deletions_are_transactions(provider: Provider) -> None:
    for bundle in (await _since(provider))[1]:
        must(bundle.get("resourceType") == "Bundle" and bundle.get("type") == "transaction", "it is no transaction")
        must(bundle.get("entry"), "a Bundle of deletions has no entry")


@rule(
    stu3(_MANIFEST, "the `request.url` and `request.method` elements SHALL be populated."),
    stu4(_MODEL, "the request.url and request.method elements SHALL be populated and request.method SHALL be set to"),
)
async def a_deletion_is_a_request(provider: Provider) -> None:
    for bundle in (await _since(provider))[1]:
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            url = str(member(entry, "request", "url"))
            must(re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]+", url), f"request.url is {url}")


@rule(
    stu3(_MANIFEST, "The `request.method` element SHALL be set to `DELETE`."),
    stu4(_MODEL, "request.method SHALL be set to DELETE."),
)
async def a_deletion_is_a_delete(provider: Provider) -> None:
    for bundle in (await _since(provider))[1]:
        entries = bundle.get("entry")
        for entry in entries if isinstance(entries, list) else []:
            must(member(entry, "request", "method") == "DELETE", "request.method is not DELETE")


@rule(
    stu3(
        _MANIFEST,
        "Resources that appear in the 'deleted' section of an export manifest SHALL NOT appear in the 'output' "
        "section of the manifest.",
    ),
    stu4(_MANIFEST, "Resources that appear in `deleted` SHALL NOT also appear in `output`."),
)
async def what_is_deleted_is_not_exported(provider: Provider) -> None:
    export, bundles = await _since(provider)
    again = _urls(bundles) & set(await export.resources())
    must(not again, f"deleted and exported: {', '.join(sorted(again))}")


# --- several manifests --------------------------------------------------------------------------------------------

_PARTIAL = Kickoff(parameters=(("allowPartialManifests", "true"),))


@rule(
    both(
        _MANIFEST,
        _MANIFEST,
        "All fields in the linked manifest SHALL be populated with the same values as the manifest with the link, "
        "apart from the",
    )
)
async def linked_manifests_agree(provider: Provider) -> None:
    export = await provider.optional(_PARTIAL, "allowPartialManifests")
    pages = await export.pages()
    if len(pages) < 2:
        raise Skipped("the manifest has no link")
    apart = {"output", "deleted", "outcome", "link"}
    first = {name: value for name, value in pages[0].items() if name not in apart}
    for page in pages[1:]:
        must({name: value for name, value in page.items() if name not in apart} == first, "two pages differ")


@rule(
    both(
        "#response---in-progress-status",
        "#response---in-progress-status",
        "When provided, a manifest SHALL only contain files that are available for retrieval by the {client}.",
    )
)
async def partial_manifests_have_files_that_are_there(provider: Provider) -> None:
    export = await provider.optional(_PARTIAL, "allowPartialManifests")
    if not export.partial:
        raise Skipped("there was no partial manifest")
    for page in export.partial:
        output = page.get("output")
        for item in output if isinstance(output, list) else []:
            await export.download(item)


@rule(
    both(
        "#response---in-progress-status",
        "#response---in-progress-status",
        "SHALL NOT alter a manifest when it is returned in subsequent requests",
    )
)
async def partial_manifests_stay(provider: Provider) -> None:
    export = await provider.optional(_PARTIAL, "allowPartialManifests")
    if not export.partial:
        raise Skipped("there was no partial manifest")
    for earlier, later in zip(export.partial, [*export.partial[1:], export.manifest], strict=True):
        for name, value in earlier.items():
            must(name == "link" or later.get(name) == value, f"{name} of a manifest changed")
