"""Why the parameters of a search are refused."""

from __future__ import annotations

from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.search.criteria.query import shown


class UnknownParameter(InvalidResource):
    """Leave the parameter out, or ask for lenient handling: FHIR defines none of this name for the type."""


class NoReference(InvalidResource):
    """Chain references only."""


class UnsupportedParameter(Unsupported):
    """Leave the parameter out, or ask for lenient handling: FHIR defines it, and it is not answered here."""


class NewParameter(Unsupported):
    """Retry later: the tenant has just defined the parameter, and not all resources have been read for it."""


def never_modified(name: str) -> InvalidResource:
    """Returns the refusal of a parameter that has a modifier, and can have none."""
    code, _, modifier = name.partition(":")
    descending = "; descending is _sort=-date" if code == "_sort" else ""
    return InvalidResource(f"'{code}' has no modifier ':{shown(modifier)}'{descending}", code="not-supported")


def not_of_all(name: str) -> UnknownParameter:
    """Returns the refusal of a parameter that only some of the searched types have."""
    code = shown(name.partition(":")[0].partition(".")[0])
    return UnknownParameter(f"Not all types that are searched have the search parameter '{code}'; name some by _type")
