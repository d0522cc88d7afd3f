"""A kick-off request, in the form that each version of the IG has for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from conformance.rest.server import Json

_VALUES = {
    "_since": "valueInstant",
    "_until": "valueInstant",
    "patient": "valueReference",
    "includeAssociatedData": "valueCode",
    "allowPartialManifests": "valueBoolean",
}
_ASSOCIATED = "http://hl7.org/fhir/uv/bulkdata/CodeSystem/include-associated-data"


@dataclass(frozen=True, slots=True)
class Kickoff:
    """An export that is asked for. `level`: empty (the system), `Patient` or `Group/[id]`. `parameters`: may repeat.

    `method`: empty for the one that every server of the version has: GET in 3, POST in 4. `prefer`: more preferences.
    """

    level: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    prefer: tuple[str, ...] = ()
    method: str = ""

    def with_(self, *parameters: tuple[str, str]) -> Kickoff:
        """Returns the same with more parameters."""
        return replace(self, parameters=self.parameters + parameters)

    def headers(self) -> dict[str, str]:
        """Returns its headers: a client SHOULD send both."""
        return {"Accept": "application/fhir+json", "Prefer": ",".join(("respond-async", *self.prefer))}

    def request(self, version: int) -> tuple[str, str, Json | None]:
        """Returns method, path below the base, and body."""
        path = f"{self.level}/$export".lstrip("/")
        if self._method(version) == "GET":
            return "GET", path + (f"?{urlencode(self.parameters)}" if self.parameters else ""), None
        return (
            "POST",
            path,
            {"resourceType": "Parameters", "parameter": [_part(*each, version) for each in self.parameters]},
        )

    def _method(self, version: int) -> str:
        if self.method:
            return self.method
        return "POST" if version == 4 or any(name == "patient" for name, _ in self.parameters) else "GET"


def _part(name: str, value: str, version: int) -> Json:
    member = _VALUES.get(name, "valueString")
    if member == "valueReference":
        return {"name": name, member: {"reference": value}}
    if member == "valueBoolean":
        return {"name": name, member: value == "true"}
    if member == "valueCode" and version == 4:
        return {"name": name, "valueCoding": {"system": _ASSOCIATED, "code": value}}
    return {"name": name, member: value}
