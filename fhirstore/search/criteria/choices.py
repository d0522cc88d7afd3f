"""What there is to ask for, as errors say it: parameters of a type, modifiers of a parameter, references."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhirstore.index.local.catalogue import Catalogue, Indexed

_MOST = 60  # names in one message
_OF_ALL = (
    "_count",
    "_elements",
    "_has",
    "_id",
    "_include",
    "_lastUpdated",
    "_list",
    "_revinclude",
    "_sort",
    "_summary",
    "_total",
)


def parameters_there(catalogue: Catalogue, type: str, *, of_all: bool = False) -> str:
    """Returns the names of the search parameters that a type has beside those of all types; `of_all`: these, and what
    else can be said in any search.
    """
    if of_all:
        return _listed({*_OF_ALL, *(name for name in catalogue.parameters(type) if _is_of_all(name))})
    return _listed(name for name in catalogue.definitions.search_parameters[type] if not _is_of_all(name))


def _is_of_all(name: str) -> bool:
    return name.startswith("_") and ":" not in name


def references_there(catalogue: Catalogue, type: str) -> str:
    """Returns the names of the parameters of a type that are references."""
    parameters = catalogue.parameters(type)
    return _listed(name for name, one in parameters.items() if one.kind == "reference" and not name.startswith("_"))


def modifiers_there(catalogue: Catalogue, indexed: Indexed, modifiers: Sequence[str]) -> str:
    """Returns the modifiers of a parameter. `modifiers`: those of its type, of which some need elements that it may not
    have.
    """
    parameters = catalogue.parameters(indexed.type)
    rows = {"text", "of-type", "identifier"}
    found = [one for one in modifiers if one not in rows or f"{indexed.name}:{one}" in parameters]
    if indexed.kind == "reference":
        found = [*(one for one in found if one != "below" or indexed.of_canonicals), "[type]"]
    return ", ".join(f":{one}" for one in ("missing", *found))


def _listed(names: Iterable[str]) -> str:
    known = sorted(names)
    more = [f"and {len(known) - _MOST} more"] if len(known) > _MOST else []
    return ", ".join((*known[:_MOST], *more)) or "none of its own"
