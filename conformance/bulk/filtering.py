"""_typeFilter, and includeAssociatedData with the rule for Provenance."""

from __future__ import annotations

from conformance.bulk.check import both, rule
from conformance.bulk.kickoff import Kickoff
from conformance.bulk.provider import Provider
from conformance.rest.server import must

_FILTER = ("#_typefilter-query-parameter", "#_typefilter-parameter")
_TABLE = ("#query-parameters", "OperationDefinition-group-export.html")
_FINAL = Kickoff(parameters=(("_typeFilter", "Observation?status=final"),))
_TWO = Kickoff(
    parameters=(
        ("_type", "Observation"),
        ("_typeFilter", "Observation?status=final"),
        ("_typeFilter", "Observation?status=amended"),
    )
)


@rule(
    both(
        *_TABLE,
        "SHALL filter the data in the response for resource types referenced in the",
    )
)
async def a_filter_chooses_resources(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.optional(_FINAL, "_typeFilter")).resources())
    must({seeds.final, seeds.berts, seeds.carls} <= found, "what meets the criteria is missing")


@rule(
    both(
        *_FILTER,
        "Resources with a resource type specified in this query that do not meet the criteria in the search "
        "expression in the query SHALL NOT be returned",
    )
)
async def what_does_not_match_is_left_out(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.optional(_FINAL, "_typeFilter")).resources())
    must(not {seeds.preliminary, seeds.amended} & found, "what does not meet the criteria is exported")


@rule(both(*_FILTER, "When using `_typeFilter`, each resource type is filtered independently."))
async def other_types_are_not_filtered(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.optional(_FINAL, "_typeFilter")).resources())
    must(seeds.patients | {seeds.organization} <= found, "types without a filter are missing")


@rule(
    both(
        *_FILTER,
        "SHALL include resources of that resource type that meet the criteria in any of the parameters (a logical "
        '"or").',
    )
)
async def several_filters_are_alternatives(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.optional(_TWO, "_typeFilter")).resources())
    must({seeds.final, seeds.amended} <= found, "what meets one of two filters is missing")
    must(seeds.preliminary not in found, "what meets none of two filters is exported")


@rule(both(*_FILTER, "FHIR search result parameters (such as _sort, _include, and _elements) SHALL NOT be used as"))
async def result_parameters_are_an_error(provider: Provider) -> None:
    for name in ("_sort=date", "_include=Observation:subject", "_elements=id"):
        await provider.refused(Kickoff(parameters=(("_typeFilter", f"Observation?{name}"),)))


@rule(
    both(
        *_FILTER,
        "SHALL have the search context of a single FHIR Resource Type.",
    )
)
async def other_search_contexts_are_an_error(provider: Provider) -> None:
    anna = (await provider.seeds()).anna
    for query in ("?status=final", f"{anna}/Observation?status=final", "status=final"):
        await provider.refused(Kickoff(parameters=(("_typeFilter", query),)))


@rule(
    both(
        *_TABLE,
        "unable to support the requested `_typeFilter` queries SHOULD return an error and",
    )
)
async def a_query_that_is_not_supported_is_an_error(provider: Provider) -> None:
    await provider.refused(Kickoff(parameters=(("_typeFilter", "Observation?no-such-parameter=1"),)))


# --- includeAssociatedData ------------------------------------------------------------------------------------


def _asked(*values: str) -> Kickoff:
    return Kickoff("Patient", tuple(("includeAssociatedData", value) for value in values))


@rule(
    both(
        *_TABLE,
        "support for the parameter and requested values SHALL return or omit a pre-defined set of FHIR resources "
        "associated with the request.",
    )
)
async def relevant_provenance_is_all_of_it(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.optional(_asked("RelevantProvenanceResources"), "includeAssociatedData")
    must({seeds.older, seeds.newer} <= set(await export.resources()), "Provenance of an exported resource is missing")


@rule(
    both(
        *_TABLE,
        "`LatestProvenanceResources`: Export will include the most recent Provenance resources associated with each of "
        "the non-provenance resources being returned. Other Provenance resources will not be returned.",
    )
)
async def latest_provenance_is_the_most_recent(provider: Provider) -> None:
    seeds = await provider.seeds()
    export = await provider.optional(_asked("LatestProvenanceResources"), "includeAssociatedData")
    found = set(await export.resources())
    must(seeds.newer in found, "the most recent Provenance of an exported resource is missing")
    must(seeds.older not in found, "an older Provenance is exported, too")


@rule(
    both(
        *_TABLE,
        "If multiple conflicting values are included, the {server} SHALL apply the least restrictive value (value that "
        "will return the largest dataset).",
    )
)
async def of_two_values_the_wider_counts(provider: Provider) -> None:
    seeds = await provider.seeds()
    kickoff = _asked("LatestProvenanceResources", "RelevantProvenanceResources")
    export = await provider.optional(kickoff, "includeAssociatedData")
    must({seeds.older, seeds.newer} <= set(await export.resources()), "Provenance of an exported resource is missing")


@rule(
    both(
        *_TABLE,
        "unable to support the requested `includeAssociatedData` values SHOULD return an error and a FHIR "
        "`OperationOutcome` resource",
    )
)
async def an_unknown_value_is_an_error(provider: Provider) -> None:
    await provider.refused(_asked("_noSuchValueOfTheChecks"))


@rule(
    both(
        "#query-parameters",
        "#parameters",
        "SHALL include all available Provenance resources whose `Provenance.target` is a resource in the Patient "
        "compartment in a patient level export request",
    )
)
async def patients_come_with_their_provenance(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.export(Kickoff("Patient"))).resources())
    must({seeds.older, seeds.newer} <= found, "Provenance of a patient's resource is missing")


@rule(
    both(
        "#query-parameters",
        "#parameters",
        "and all available Provenance resources in a system level export request unless a specific resource set is "
        "specified",
    )
)
async def the_system_comes_with_all_provenance(provider: Provider) -> None:
    seeds = await provider.seeds()
    found = set(await (await provider.export(Kickoff())).resources())
    must({seeds.older, seeds.newer, seeds.foreign} <= found, "a Provenance is missing")
