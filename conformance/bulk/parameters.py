"""Kick-off parameters that choose resources by type, time and patient."""

from __future__ import annotations

from conformance.bulk.check import both, rule, stu3, stu4
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import Json, member, must

_TABLE = ("#query-parameters", "OperationDefinition-group-export.html")
_TYPE = "`_type`"
_NOBODY = "Patient/no-such-patient-of-the-checks"


def _types(lines: list[Json]) -> set[str]:
    return {str(one.get("resourceType")) for one in lines}


@rule(both(*_TABLE, "Resources will be included in the response if their state has changed after the supplied time"))
async def since_leaves_out_what_is_older(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.export(Kickoff(parameters=(("_type", "Patient"), ("_since", seeds.middle))))
    found = set(await export.resources("Patient"))
    must({seeds.dora, seeds.bert} <= found, "what changed after _since is missing")
    must(not {seeds.anna, seeds.carl} & found, "what did not change after _since is exported")


@rule(both(*_TABLE, "Resources will be included in the response if their state has changed before the supplied time"))
async def until_leaves_out_what_is_newer(provider: Provider) -> None:
    seeds = await provider.seeds()
    kickoff = Kickoff(parameters=(("_type", "Patient"), ("_until", seeds.middle)))
    found = set(await (await provider.optional(kickoff, "_until")).resources("Patient"))
    must({seeds.anna, seeds.carl} <= found, "what changed before _until is missing")
    must(seeds.dora not in found, "what was created after _until is exported")


@rule(
    stu3(_TABLE[0], "The response SHALL be filtered to only include resources of the specified resource types(s)."),
    stu4(_TABLE[1], "The response SHALL be filtered to only include resources of the specified resource type(s)."),
)
async def only_the_types_that_were_asked_for(provider: Provider) -> None:
    export = await provider.optional(Kickoff(parameters=(("_type", "Observation"),)), _TYPE)
    must(_types(await export.lines()) == {"Observation"}, "other types than Observation are exported")
    must((await provider.seeds()).observations <= set(await export.resources()), "some Observations are missing")


@rule(
    both(*_TABLE, "If this parameter is omitted, the {server} SHALL return all supported resources within the scope of")
)
async def without_type_there_is_everything(provider: Provider) -> None:
    seeds = await provider.seeds()
    missing = seeds.all - set(await (await provider.export(Kickoff())).resources())
    must(not missing, f"missing: {', '.join(sorted(missing))}")


@rule(
    stu3(
        _TABLE[0],
        "If the client explicitly asks for export of resources that the Bulk Data server doesn't support … the server "
        "SHOULD return details via a FHIR `OperationOutcome` resource in an error response to the request.",
    ),
    stu4(
        _TABLE[1],
        "If the Data Consumer explicitly asks for export of resources that the Data Provider does not support … the "
        "Data Provider SHOULD return details via a FHIR `OperationOutcome` resource in an error response to the "
        "request.",
    ),
)
async def a_type_that_is_none_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff(parameters=(("_type", "NoSuchType"),)))


@rule(
    both(
        *_TABLE,
        "or asks for only resource types that are outside the Patient Compartment, the {server} SHOULD return "
        "details via a FHIR `OperationOutcome` resource in an error response to the request.",
    )
)
async def only_types_outside_of_the_compartment_are_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff("Patient", (("_type", "Organization"),)))
    await provider.refused(Kickoff((await provider.seeds()).group, (("_type", "Organization"),)))


@rule(
    both(
        "#bulk-data-kick-off-request",
        "#kick-off-request",
        "the Patient Compartment SHOULD be used as a point of reference for recommended resources to be returned",
    )
)
async def patients_come_with_their_compartment(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.export(Kickoff("Patient"))).resources())
    missing = (seeds.observations | {seeds.note}) - found
    must(not missing, f"missing of the compartments: {', '.join(sorted(missing))}")


@rule(
    both("#bulk-data-kick-off-request", "#kick-off-request", "where applicable, Patient resources SHOULD be returned.")
)
async def patients_are_exported_themselves(provider: Provider) -> None:
    seeds = await provider.seeds()
    must(seeds.patients <= set(await (await provider.export(Kickoff("Patient"))).resources()), "Patients are missing")


@rule(
    both(
        "#endpoint---group-of-patients",
        "#endpoint---group-of-patients",
        "FHIR Operation to obtain a detailed set of FHIR resources of diverse resource types pertaining to all "
        "members of a specified Group.",
    )
)
async def a_group_is_its_members(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.export(Kickoff(seeds.group))
    found = set(await export.resources())
    must({seeds.anna, seeds.bert, seeds.final, seeds.berts} <= found, "what belongs to the members is missing")
    must(not {seeds.carl, seeds.carls, seeds.dora} & found, "what belongs to others is exported")


@rule(
    stu3("#endpoint---group-of-patients", "pertaining to all members of a specified Group"),
    stu4("#endpoint---group-of-patients", "pertaining to all members of a specified Group"),
)
async def a_group_of_nobody_is_empty(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.export(Kickoff(seeds.empty))).resources())
    must(not (seeds.patients | seeds.observations) & found, "an empty group exports patients")


@rule(
    stu3("#response---error-eg-unsupported-search-parameter", "HTTP Status Code of `4XX` or `5XX`"),
    stu4(
        "#response---error-eg-unsupported-search-parameter",
        "The Data Provider SHALL return an error response with: HTTP status `4XX` or `5XX`",
    ),
)
async def a_group_that_is_not_there_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff("Group/no-such-group-of-the-checks"))


# --- patient --------------------------------------------------------------------------------------------------


@rule(
    both(
        *_TABLE,
        "the {server} SHALL NOT return resources in the patient compartments belonging to patients outside of this "
        "list.",
    )
)
async def only_the_patients_that_were_asked_for(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.optional(Kickoff("Patient", (("patient", seeds.anna),)), "patient")).resources())
    must({seeds.anna, seeds.final} <= found, "what belongs to the patient is missing")
    others = {seeds.bert, seeds.carl, seeds.dora, seeds.berts, seeds.carls} & found
    must(not others, f"exported of others: {', '.join(sorted(others))}")


@rule(
    both(
        *_TABLE,
        "patients who are not present on the {server} … the {server} SHOULD return details via a FHIR "
        "`OperationOutcome` resource in an error response to the request.",
    )
)
async def a_patient_that_is_not_there_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff("Patient", (("patient", _NOBODY),)))


@rule(
    both(
        *_TABLE,
        "(or in the case of a group level export, who are not members of the group), the {server} SHOULD return "
        "details via a FHIR `OperationOutcome` resource in an error response to the request.",
    )
)
async def a_patient_who_is_no_member_is_an_error(provider: Provider) -> None:
    seeds = await provider.seeds()
    await provider.refused(Kickoff(seeds.group, (("patient", seeds.carl),)))


# --- _elements ------------------------------------------------------------------------------------------------

_ELEMENTS = Kickoff(
    parameters=(("_type", "Patient"), ("_type", "Observation"), ("_elements", "Patient.birthDate"), ("_elements", "id"))
)


async def _subsetted(provider: Provider) -> dict[str, Json]:
    return await (await provider.optional(_ELEMENTS, "_elements")).resources()


@rule(both(*_TABLE, "SHOULD omit unlisted, non-mandatory elements from the resources returned."))
async def elements_that_are_not_listed_are_left_out(provider: Provider) -> None:
    seeds, found = await provider.seeds(), await _subsetted(provider)
    for path, element in ((seeds.anna, "address"), (seeds.anna, "name"), (seeds.final, "valueQuantity")):
        must(path in found and element not in found[path], f"{path} is missing, or has its {element}")


@rule(
    both(*_TABLE, "If the resource type is omitted, the element SHOULD be returned for all resources in the response")
)
async def an_element_without_type_is_that_of_all(provider: Provider) -> None:
    seeds, found = await provider.seeds(), await _subsetted(provider)
    must(seeds.patients | seeds.observations <= set(found), "resources are missing, or have no id")
    must(found[seeds.anna].get("birthDate") == "1980-05-01", "Patient.birthDate was asked for, and is missing")


@rule(both(*_TABLE, "SHOULD always return mandatory elements whether they are requested or not."))
async def mandatory_elements_stay(provider: Provider) -> None:
    seeds, found = await provider.seeds(), await _subsetted(provider)
    observation = found.get(seeds.final, {})
    must({"status", "code"} <= set(observation), "Observation.status or code is missing")


@rule(both(*_TABLE, "SHOULD mark the resources with the tag"))
async def incomplete_resources_are_tagged(provider: Provider) -> None:
    for resource in (await _subsetted(provider)).values():
        tags = member(resource, "meta", "tag")
        codes = {member(tag, "code") for tag in tags} if isinstance(tags, list) else set()
        must("SUBSETTED" in codes, f"a {resource.get('resourceType')} without elements is not tagged SUBSETTED")


# --- handling=lenient -------------------------------------------------------------------------------------------


@rule(
    stu3(
        "#response---output-manifest",
        "If the request contained invalid or unsupported parameters along with a `Prefer: handling=lenient` header and "
        "the server processed the request, the server SHOULD include a FHIR `OperationOutcome` resource for each of "
        "these parameters.",
    ),
    stu4(
        "#response---output-manifest",
        "If the request contained invalid or unsupported parameters along with a `Prefer: handling=lenient` header and "
        "the Data Provider processed the request, the Data Provider SHOULD include a FHIR `OperationOutcome` "
        "resource for each of these parameters.",
    ),
)
async def what_was_ignored_is_told(provider: Provider) -> None:
    parameters = (("_type", "Patient"), ("_no-such-parameter", "1"), ("_nor-this-one", "2"))
    export = await provider.optional(Kickoff(parameters=parameters, prefer=("handling=lenient",)), "handling=lenient")
    outcomes = await export.lines(export.messages)
    must(len(outcomes) >= 2, f"two parameters were ignored, but {export.messages} has {len(outcomes)} resources")
    must(all(one.get("resourceType") == "OperationOutcome" for one in outcomes), "they are no OperationOutcomes")
