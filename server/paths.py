"""Which line of the route table a path below the FHIR base means.

FHIR's URLs have at most four segments and few shapes, so a path is split once and compared with the templates of its
length; literal segments (`metadata`, `_history`) go before `{type}` and `{id}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.route import Handler, Route


@dataclass(frozen=True, slots=True)
class Template:
    """One path of the table with its handlers by method. `names`: per segment its parameter, None for a literal."""

    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    handlers: Mapping[str, Handler]

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The parameters, if the path has this shape."""
        for position, text in self.literals:
            if segments[position] != text:
                return None
        return {name: segments[position] for position, name in self.names}


class Paths:
    """The table, by number of segments."""

    def __init__(self, table: Iterable[Route], *, base: tuple[str, ...] = ()) -> None:
        """`base`: segments before each path of the table, such as `{tenant}`."""
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

    def find(self, path: str) -> tuple[Mapping[str, Handler], dict[str, str]] | None:
        """The handlers and parameters for `path`, which is empty or starts with a slash; None: no such endpoint."""
        start, *segments = path.split("/")
        if start or "" in segments:
            return None
        for template in self._templates.get(len(segments), ()):
            parameters = template.match(segments)
            if parameters is not None:
                return template.handlers, parameters
        return None


def _template(segments: tuple[str, ...], handlers: Mapping[str, Handler]) -> Template:
    named = [(n, text[1:-1]) for n, text in enumerate(segments) if text.startswith("{")]
    literal = [(n, text) for n, text in enumerate(segments) if not text.startswith("{")]
    return Template(tuple(literal), tuple(named), handlers)
