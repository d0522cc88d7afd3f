"""The parameters of searches in the OpenAPI document: those of the type, and those about the answer.

What a name alone cannot say (modifiers, chains, `_has`) stands in the description of each parameter.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore import SupportedParameter, SupportedSearch

_DATE = ["2024", "ge2024-05-01", "lt2024-05-01T10:00:00Z"]
_EXAMPLES: dict[str, list[str]] = {
    "token": ["http://loinc.org|8867-4", "8867-4"],
    "date": _DATE,
    "string": ["chalmers"],
    "reference": ["Patient/1"],
    "number": ["5", "gt5"],
    "quantity": ["ge5.4|http://unitsofmeasure.org|mg"],
    "uri": ["http://example.org/a"],
    "composite": ["8867-4$gt60"],
}
_SORT: dict[str, object] = {"type": "string", "examples": ["-_lastUpdated,_id"]}
_TOTAL: dict[str, object] = {"enum": ["none", "estimate", "accurate"]}


def criteria(supported: SupportedSearch, type: str | None) -> list[dict[str, object]]:
    """Returns the parameters that are criteria: those of conditional interactions, too."""
    return [_described(one) for one in (supported.of_all_types() if type is None else supported.parameters(type))]


def search_parameters(supported: SupportedSearch, type: str | None) -> list[dict[str, object]]:
    """Returns the parameters of searches of a type (None: of any), as OpenAPI has parameters."""
    found = criteria(supported, type)
    included = [("*",), ("*",)] if type is None else [supported.includes(type), supported.reverse_includes(type)]
    along = zip(("_include", "_revinclude"), included, strict=True)
    schemas = [("_sort", _SORT), ("_total", _TOTAL), *((name, _one_of(values)) for name, values in along)]
    found += [{"name": name, "in": "query", "schema": schema} for name, schema in schemas]
    return found


def _one_of(values: Sequence[str]) -> dict[str, object]:
    return {"type": "string", "examples": list(values)}


def _described(parameter: SupportedParameter) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    if parameter.type in _EXAMPLES and parameter.name != "_id":
        schema["examples"] = _EXAMPLES[parameter.type]
    told = f"{parameter.type}; {parameter.url}. {parameter.documentation}".rstrip()
    return {"name": parameter.name, "in": "query", "description": told, "schema": schema}
