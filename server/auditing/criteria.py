"""What an audit event may hold of search criteria: they may be data of patients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fhirstore import Definitions

_LONGEST = 4_000  # characters
_MOST = 100  # parameters
_RESULTS = (
    "_count",
    "_total",
    "_totalMethod",
    "_sort",
    "_summary",
    "_elements",
    "_format",
    "_pretty",
    "_include",
    "_revinclude",
    "_cursor",
)
_COMMON = ("_id", "_lastUpdated", "_type", "_since", "_until", "_at", "_list", "_has", "_query", "_filter", "_text")
_META = ("_content", "_tag", "_profile", "_security", "_source", "_contained", "_containedType")
_EXPORT = (
    "_outputFormat",
    "_typeFilter",
    "patient",
    "organizeOutputBy",
    "includeAssociatedData",
    "allowPartialManifests",
)
_OTHER = (
    "_include",
    "_revinclude",
    "_attachments",
    "mode",
    "id",
    "name",
    "kind",
    "resource",
    "profile",
    "start",
    "end",
    "max",
)
_OTHERS = frozenset((*_RESULTS, *_COMMON, *_META, *_EXPORT, *_OTHER, "allowPartialManifests"))


class CriteriaForm:
    """Writes criteria down. `how`: names, hashed or values. `hashed`: makes a hash of a value."""

    def __init__(self, how: str, hashed: Callable[[str], str], definitions: Definitions) -> None:
        self._how = how
        self._hash = hashed
        self._parameters = definitions.search_parameters

    def of(self, pairs: Iterable[tuple[str, str]], type_: str) -> str:
        """Returns what an event says of these parameters of a request about `type_` ("": of all types).

        A name that no search or operation here has may be anything: it is written as `?`, unless values are kept.
        """
        said: list[str] = []
        for name, value in list(pairs)[:_MOST]:
            shown = name if self._how == "values" else self._known(name, type_)
            if self._how == "values":
                shown += f"={value}"
            elif self._how == "hashed":
                shown += f"={self._hash(value)}"
            said.append(shown)
        return "&".join(said)[:_LONGEST]

    def _known(self, name: str, type_: str) -> str:
        base = name.partition(":")[0].partition(".")[0]
        if base in _OTHERS or base in self._parameters.get(type_, {}):
            return base
        return base if not type_ and any(base in codes for codes in self._parameters.values()) else "?"
