"""What an access lets searches find: its sight as criteria, which the search index tests.

A resource is found if one of the scopes that grant "s" on its type reaches it: it is in the scope's compartment, and
meets the scope's criteria. That is what `Sight.shows` decides on a content; here it is what an index decides. Since it
is among the criteria of every type that a search touches, whatever is hidden changes no match, no order, no total, and
nothing that chains, `_has` or includes lead to.
"""

from __future__ import annotations

from fhirstore.access.scopes import Scope
from fhirstore.access.sight import Sight
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.search.criteria.compartment import binaries_of, in_compartment
from fhirstore.search.criteria.criterion import AnyOf, Criterion
from fhirstore.search.criteria.limits import Limits, everything
from fhirstore.search.criteria.query import parse_query
from fhirstore.search.criteria.request import parse_search

_Alternatives = list[tuple[Criterion, ...]]


def limits_of(sight: Sight | None, catalogue: Catalogue) -> Limits:
    """Returns what may be found of each type. `sight` None: everything.

    The limits raise AccessDenied for a type of which nothing may be searched, and FhirError where an index cannot tell
    what a scope reaches.
    """
    if sight is None:
        return everything
    known: dict[str, Criterion | None] = {}

    def limit(type: str) -> Criterion | None:
        if type not in known:
            sight.require("search", type)
            known[type] = _reached(sight, catalogue, type) if sight.limits("s", type) else None
        return known[type]

    return limit


def _reached(sight: Sight, catalogue: Catalogue, type: str) -> AnyOf:
    """Returns what a resource meets that a scope reaches: any of the scopes that grant to search the type."""
    found: _Alternatives = []
    for scope in sight.reaching("s", type):
        within = _compartment(sight, catalogue, scope, type)
        criteria = _criteria(catalogue, scope, type)
        found += [(*one, *criteria) for one in within]
    return AnyOf(tuple(found))


def _compartment(sight: Sight, catalogue: Catalogue, scope: Scope, type: str) -> _Alternatives:
    """Returns the alternatives of being where a scope reaches to; one that demands nothing for all of the tenant."""
    patient = sight.access.compartment(scope)
    if patient is None:
        return [()]
    if type == "Binary":
        return list(binaries_of(catalogue, "Patient", patient).alternatives)
    within = in_compartment(catalogue, "Patient", patient, type)
    return [] if within is None else list(within.alternatives)


def _criteria(catalogue: Catalogue, scope: Scope, type: str) -> tuple[Criterion, ...]:
    """Returns the criteria of a scope, read as `filter_of` reads them. Raises FhirError."""
    if scope.criteria is None:
        return ()
    pairs = parse_query(scope.criteria.replace("+", "%2B"))
    return parse_search(catalogue, type, pairs, now=0).branches[0][1]
