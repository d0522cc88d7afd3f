"""Finds the line of the route table for a path below the FHIR base.

FHIR's URLs have at most four segments and few shapes, so a path is split once and compared with the templates of its
length; literal segments (`metadata`, `_history`) take precedence over `{type}` and `{id}`. Benchmark: reads, see
docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fhirstore import Definitions
from server.http.lacking import refuse_lacking
from server.http.refusal import NO_ENDPOINT, Refused
from server.http.route import Handler, Route


class Endpoint(NamedTuple):
    """A path's handlers by method, the value of its Allow header, and its parameters."""

    handlers: Mapping[str, Handler]
    allow: str
    parameters: dict[str, str]


class Template(NamedTuple):
    """One path of the table. `literals`: position and text of fixed segments; `names`: position and name of others."""

    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    handlers: Mapping[str, Handler]
    allow: str

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Returns the path's parameters; None if it does not have this shape."""
        for position, text in self.literals:
            if segments[position] != text:
                return None
        return {name: segments[position] for position, name in self.names}


class Paths:
    """The route table, by number of segments."""

    def __init__(self, table: Iterable[Route], *, definitions: Definitions, base: tuple[str, ...] = ()) -> None:
        """`base`: segments before each path of the table, such as `{tenant}`."""
        self._below = len(base)
        self._definitions = definitions
        by_path: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route in table:
            segments = base + tuple(filter(None, route.path.split("/")))
            handlers = by_path.setdefault(segments, {})
            handlers[route.method] = route.handler
            if route.method == "GET" and route.safe:
                handlers["HEAD"] = route.handler
        templates: dict[int, list[Template]] = {}
        for segments, handlers in by_path.items():
            templates.setdefault(len(segments), []).append(_template(segments, handlers))
        for same_length in templates.values():
            same_length.sort(key=lambda template: -len(template.literals))
        self._templates = templates
        self._open = {
            length: [template for template in same_length if not template.literals]
            for length, same_length in templates.items()
        }
        self._literals = {
            text for same_length in templates.values() for each in same_length for _, text in each.literals
        }

    def find(self, path: str, method: str = "GET") -> Endpoint:
        """Returns the endpoint at `path`, which is empty or starts with a slash and may end with one.

        Raises Refused: 404; where FHIR defines the path and this server does not support it, 501 or 405 (`method`).
        """
        start, *segments = path.removesuffix("/").split("/")
        if start or "" in segments:
            raise Refused(404, NO_ENDPOINT)
        # most requests name a type and an id, and have no segment that is literal in the table
        templates = self._open if self._literals.isdisjoint(segments) else self._templates
        for template in templates.get(len(segments), ()):
            parameters = self._matched(template, segments)
            if parameters is not None:
                if "$" in path and any(text.startswith("$") for text in parameters.values()):
                    break  # an operation is not a type or an id
                return Endpoint(template.handlers, template.allow, parameters)
        refuse_lacking(segments[self._below :], method, self._definitions)
        raise Refused(404, NO_ENDPOINT)

    def _matched(self, template: Template, segments: list[str]) -> dict[str, str] | None:
        """Returns the path's parameters; None if it does not have this shape, or names no compartment where it must."""
        parameters = template.match(segments)
        if parameters is not None and "compartment" in parameters:
            known = parameters.get("type", "*")
            is_type = known == "*" or known in self._definitions.resources
            return parameters if is_type and parameters["compartment"] in self._definitions.compartments else None
        return parameters

    def template_of(self, path: str) -> tuple[str, dict[str, str]]:
        """Returns the template for `path`, like `/{type}/{id}`, and the path's parameters; "-" where there is none."""
        segments = path.removesuffix("/").split("/")[1:]
        for template in self._templates.get(len(segments), ()):
            parameters = self._matched(template, segments)
            if parameters is not None:
                parts = dict(template.literals) | {position: f"{{{name}}}" for position, name in template.names}
                return "/" + "/".join([parts[position] for position in range(len(segments))]), parameters
        return "-", {}


def _template(segments: tuple[str, ...], handlers: Mapping[str, Handler]) -> Template:
    named = [(n, text[1:-1]) for n, text in enumerate(segments) if text.startswith("{")]
    literal = [(n, text) for n, text in enumerate(segments) if not text.startswith("{")]
    return Template(tuple(literal), tuple(named), handlers, ", ".join([*handlers, "OPTIONS"]))
