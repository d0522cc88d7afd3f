"""Which line of the route table a path below the FHIR base means.

FHIR's URLs have at most four segments and few shapes, so a path is split once and compared with the templates of its
length; literal segments (`metadata`, `_history`) go before `{type}` and `{id}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fhirstore import Definitions
from server.http.lacking import refuse_lacking
from server.http.refusal import NO_ENDPOINT, Refused
from server.http.route import Handler, Route


class Endpoint(NamedTuple):
    """What answers at a path: handlers by method, the value of an Allow header, and the path's parameters."""

    handlers: Mapping[str, Handler]
    allow: str
    parameters: dict[str, str]


class Template(NamedTuple):
    """One path of the table. `literals`, `names`: which segment is what text, or gives which parameter."""

    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    handlers: Mapping[str, Handler]
    allow: str

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The parameters, if the path has this shape."""
        for position, text in self.literals:
            if segments[position] != text:
                return None
        return {name: segments[position] for position, name in self.names}


class Paths:
    """The table, by number of segments."""

    def __init__(self, table: Iterable[Route], *, definitions: Definitions, base: tuple[str, ...] = ()) -> None:
        """`base`: segments before each path of the table, such as `{tenant}`."""
        self._below = len(base)
        self._definitions = definitions
        by_path: dict[tuple[str, ...], dict[str, Handler]] = {}
        for route in table:
            segments = base + tuple(filter(None, route.path.split("/")))
            by_path.setdefault(segments, {})[route.method] = route.handler
        templates: dict[int, list[Template]] = {}
        for segments, handlers in by_path.items():
            if "GET" in handlers:
                handlers["HEAD"] = handlers["GET"]
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
        """What answers at `path`, which is empty or starts with a slash; one at its end is let pass.

        Raises Refused: 404, and what FHIR has there and this server lacks: 501, or 405 for another `method`.
        """
        start, *segments = path.removesuffix("/").split("/")
        if start or "" in segments:
            raise Refused(404, NO_ENDPOINT)
        # nearly every request names a type and an id, and nothing that stands in the table
        templates = self._open if self._literals.isdisjoint(segments) else self._templates
        for template in templates.get(len(segments), ()):
            parameters = template.match(segments)
            if parameters is not None:
                if "$" in path and any(text.startswith("$") for text in parameters.values()):
                    break  # no type and no id
                return Endpoint(template.handlers, template.allow, parameters)
        refuse_lacking(segments[self._below :], method, self._definitions)
        raise Refused(404, NO_ENDPOINT)

    def template_of(self, path: str) -> tuple[str, dict[str, str]]:
        """The template of what answers at `path`, like `/{type}/{id}`, and its parameters; "-" where nothing does."""
        segments = path.removesuffix("/").split("/")[1:]
        for template in self._templates.get(len(segments), ()):
            parameters = template.match(segments)
            if parameters is not None:
                parts = dict(template.literals) | {position: f"{{{name}}}" for position, name in template.names}
                return "/" + "/".join([parts[position] for position in range(len(segments))]), parameters
        return "-", {}


def _template(segments: tuple[str, ...], handlers: Mapping[str, Handler]) -> Template:
    named = [(n, text[1:-1]) for n, text in enumerate(segments) if text.startswith("{")]
    literal = [(n, text) for n, text in enumerate(segments) if not text.startswith("{")]
    return Template(tuple(literal), tuple(named), handlers, ", ".join([*handlers, "OPTIONS"]))
