"""The name of each line of the route table, for metrics, log lines and spans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.http.route import Handler, Route

NONE = "none"
"""Of a request for which there is no line: another path, or a method that is not possible."""


def interaction_names(table: Iterable[Route]) -> Mapping[Handler, str]:
    """Returns the name for each handler: FHIR's code of the interaction, `$` and that of the operation, or its own."""
    names: dict[Handler, str] = {}
    for route in table:
        names.setdefault(route.handler, _name(route))
    return names


def _name(route: Route) -> str:
    if len(route.codes) == 1:
        return route.codes[0]
    if route.operation is not None:
        return f"${route.operation[0]}"
    own = getattr(route.handler, "__name__", NONE).replace("_", "-")
    return own.removesuffix("-by-form")
