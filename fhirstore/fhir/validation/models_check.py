"""A second opinion from the models of fhir.resources, for the releases that it models (R4B and R5, not R4).

It is reported as information, never as an error: fhir.resources refuses some valid FHIR (for example extensions of
primitives inside an Extension) and accepts some invalid FHIR. It is imported when it is first needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from fhirstore.errors import Issue
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject

_PACKAGES = {"4.3": "fhir.resources.R4B", "5.0": "fhir.resources"}
_MOST = 20


def differing_opinions(definitions: Definitions, resource: JsonObject) -> Iterator[Issue]:
    """Yields one issue for each element that fhir.resources would refuse: its path and the kind of error, no data."""
    package = _PACKAGES.get(definitions.release)
    type_ = resource.get("resourceType")
    if package is None or not isinstance(type_, str):
        return
    from pydantic import ValidationError  # noqa: PLC0415 - slow to import, as the models are

    try:
        model = import_module(package).get_fhir_model_class(type_)
    except KeyError:
        yield _opinion(type_, "has no model of this type")
        return
    try:
        model.model_validate_json(json.encode(resource))
    except ValidationError as refusal:
        for error in refusal.errors(include_input=False, include_url=False, include_context=False)[:_MOST]:
            yield _opinion(_expression(type_, error["loc"]), f"would refuse this ({error['type']})")


def _opinion(path: str, what: str) -> Issue:
    return Issue.information(f"fhir.resources {what}", path)


def _expression(type: str, location: tuple[int | str, ...]) -> str:
    """Returns `("name", 0, "given")` as `Patient.name[0].given`."""
    path = type
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path
