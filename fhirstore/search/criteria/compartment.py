"""A compartment as a criterion: what a search within it demands of resources of each type.

https://hl7.org/fhir/R4/compartmentdefinition.html · https://hl7.org/fhir/R4/search.html#compartment
"""

from __future__ import annotations

from fhirstore.index.local.catalogue import Catalogue
from fhirstore.search.criteria.criterion import AnyOf, ById, ByValue, Criterion, InCompartment

SECURITY_CONTEXT = "securityContext"
"""The parameter of Binary by which its `securityContext` is indexed. No client can ask for it."""
_ITSELF = "{def}"


def in_compartment(catalogue: Catalogue, compartment: str, id: str, type: str) -> AnyOf | None:
    """Returns what a resource of `type` meets that is in the compartment `compartment/id`; None: no such type is.

    A resource is in its own compartment; others are in it by what they refer to. Raises KeyError for what is no
    compartment.
    """
    codes = catalogue.definitions.compartments[compartment].get(type, ())
    alternatives: list[tuple[Criterion, ...]] = []
    if type == compartment:
        alternatives.append((ById(frozenset({id})),))
    parameters = catalogue.parameters(type)
    for code in codes:
        indexed = parameters.get(code)
        if code != _ITSELF and indexed is not None:
            alternatives.append((ByValue(indexed, "", (f"{compartment}/{id}",)),))
    return AnyOf(tuple(alternatives)) if alternatives else None


def members(catalogue: Catalogue, compartment: str, id: str) -> dict[str, InCompartment]:
    """Returns what members of the compartment `compartment/id` meet, by type, as one criterion; other types are never
    in it.
    """
    within = InCompartment(compartment, id)
    return dict.fromkeys(catalogue.in_compartments(compartment), within)


def compartment(catalogue: Catalogue, compartment: str, id: str) -> dict[str, AnyOf]:
    """Returns what members of the compartment `compartment/id` meet, by type; other types are never in it."""
    found = {type_: in_compartment(catalogue, compartment, id, type_) for type_ in catalogue.types}
    return {type_: within for type_, within in found.items() if within is not None}


def binaries_of(catalogue: Catalogue, compartment: str, id: str) -> AnyOf:
    """Returns what a Binary meets whose `securityContext` is this resource. It is in no compartment otherwise."""
    indexed = catalogue.parameters("Binary").get(SECURITY_CONTEXT)
    return AnyOf(() if indexed is None else ((ByValue(indexed, "", (f"{compartment}/{id}",)),),))
