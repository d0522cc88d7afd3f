"""The CapabilityStatement, computed from the route table.

https://hl7.org/fhir/R4/capabilitystatement.html · https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fhirstore import Definitions, __version__, filter_parameters
from server.content.media import FHIR_JSON, FHIR_XML
from server.documents.contract import CAPABILITIES, PATCH_FORMATS, SEARCH_PARAMETERS
from server.http.route import Route
from server.settings import Settings

MODES = CAPABILITIES.modes
_SYSTEM_CODES = frozenset({"transaction", "batch", "search-system", "history-system"})
# https://hl7.org/fhir/R4/resourcelist.html
_NORMATIVE = frozenset(
    (
        *("Binary", "Bundle", "CapabilityStatement", "CodeSystem", "Observation", "OperationDefinition"),
        *("OperationOutcome", "Parameters", "Patient", "StructureDefinition", "ValueSet"),
    )
)
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_BULK_DATA = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
_FILTER = "Only in _typeFilter of $export; searches refuse it"
_NOT_CLAIMED: dict[str, object] = {
    "conditionalCreate": False,
    "conditionalRead": "not-supported",
    "conditionalUpdate": False,
    "conditionalDelete": "not-supported",
}
# When this software was installed: the same in every process, another after an update.
_DATE = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC).isoformat(timespec="seconds")
_DESCRIPTION = "No authentication: whoever reaches this server may do everything. Put it behind something that asks."


class Capabilities:
    """The capabilities of one server, for each `mode` of the capabilities interaction."""

    def __init__(self, table: Sequence[Route], settings: Settings, definitions: Definitions) -> None:
        self._table = [route for route in table if route.is_documented(settings)]
        self._settings = settings
        self._facts = definitions
        self._exports = any(route.path.endswith("/$export") for route in self._table)

    def statement(self, base_url: str, *, mode: str = "full") -> dict[str, object]:
        """Returns the resource for the API at `base_url`. `mode`: one of MODES."""
        if mode == "terminology":
            return self._head("TerminologyCapabilities", base_url)  # no terminology service here
        codes = {code: None for route in self._table for code in route.codes}  # each once, in the table's order
        rest = {
            "mode": "server",
            "security": self._security(base_url),
            "resource": self._resources(list(codes), _NORMATIVE if mode == "normative" else self._facts.resources),
            "interaction": [{"code": code} for code in codes if code in _SYSTEM_CODES],
            "searchParam": self._system_search_parameters() if "search-system" in codes else [],
            "operation": self._operations(("",)),
        }
        guides = {"instantiates": [_BULK_DATA]} if self._exports else {}
        return (
            self._head("CapabilityStatement", base_url)
            | guides
            | {
                "fhirVersion": self._facts.version,
                "format": [FHIR_JSON, "json", FHIR_XML, "xml"],
                **self._patch_formats(),
                "rest": [{name: value for name, value in rest.items() if value != []}],
            }
        )

    def _security(self, base_url: str) -> dict[str, object]:
        """https://hl7.org/fhir/smart-app-launch/STU2.2/conformance.html#declaring-support-for-oauth2-endpoints"""
        settings = self._settings
        found: dict[str, object] = {"cors": bool(settings.cors_origins)}
        if not settings.authenticates:
            return {**found, "description": _DESCRIPTION}
        if settings.auth == "smart":
            token = {"url": "token", "valueUri": f"{base_url}/auth/token"}
            found["extension"] = [{"url": _OAUTH_URIS, "extension": [token]}]
        return {
            **found,
            "service": [
                {"coding": [{"system": _SERVICES, "code": "SMART-on-FHIR"}], "text": "OAuth2, as SMART on FHIR"}
            ],
            "description": f"A bearer token is needed; {base_url}/.well-known/smart-configuration says where it is had",
        }

    def _head(self, type_: str, base_url: str) -> dict[str, object]:
        return {
            "resourceType": type_,
            "status": "active",
            "date": _DATE,
            "kind": "instance",
            "software": {"name": "fhirstore", "version": __version__},
            "implementation": {"description": "FHIR on object storage", "url": base_url},
        }

    def _resources(self, codes: list[str], types: frozenset[str]) -> list[dict[str, object]]:
        shared: dict[str, object] = {
            "interaction": [{"code": code} for code in codes if code not in _SYSTEM_CODES],
            **_NOT_CLAIMED,
            "referencePolicy": ["literal", "logical", *(["enforced"] if self._settings.reference_integrity else [])],
        }
        elements = self._facts.types["CapabilityStatement.rest.resource"].elements  # conditionalPatch came with R5
        for route in self._table:
            shared.update({name: claim for name, claim in route.claims.items() if name in elements})
        if "conditionalDelete" in elements and shared["conditionalDelete"] != "not-supported":
            shared["conditionalDelete"] = self._settings.conditional_delete
        searches = "search-type" in codes
        found = []
        for type_ in sorted(types & self._facts.resources):
            own = {
                "operation": self._operations(("/{type}", "/{type}/{id}", f"/{type_}", f"/{type_}/{{id}}")),
                "searchParam": self._search_parameters(type_) if searches else [],
            }
            told = {"documentation": self._about_binary()} if type_ == "Binary" else {}
            found.append({"type": type_, **told, **shared, **{name: value for name, value in own.items() if value}})
        return found

    def _about_binary(self) -> str:
        settings = self._settings
        return (
            f"Content in its own type may have {settings.max_binary:,} bytes, and is read whole or by Range. Searches, "
            f"histories and Bundles show the size and the hash of content above {settings.inline_bytes:,} bytes."
        )

    def _search_parameters(self, type_: str) -> list[dict[str, object]]:
        """The parameters of searches; then those of `_typeFilter` alone, which the IG wants here, too."""
        known = self._facts.search_parameters[type_]
        found: list[dict[str, object]] = []
        for code in SEARCH_PARAMETERS:
            if code in known:
                found.append({"name": code, "definition": known[code].url, "type": known[code].type})
        if self._exports:
            for each in filter_parameters(self._facts, type_):
                if each.code not in SEARCH_PARAMETERS:
                    found.append(
                        {"name": each.code, "definition": each.url, "type": each.type, "documentation": _FILTER}
                    )
        return found

    def _system_search_parameters(self) -> list[dict[str, object]]:
        """The parameters of GET [base]?…; `_type` has no SearchParameter resource."""
        updated = self._facts.search_parameters["Patient"]["_lastUpdated"]
        return [
            {"name": "_type", "type": "special", "documentation": "Types, separated by commas"},
            {"name": "_lastUpdated", "definition": updated.url, "type": updated.type},
        ]

    def _operations(self, below: tuple[str, ...]) -> list[dict[str, object]]:
        """The operations whose path, without their name, is in `below`; each once."""
        found: dict[tuple[str, str], None] = {}
        for route in self._table:
            if route.operation is not None and route.path.rpartition("/")[0] in below:
                name, url = route.operation
                found |= {(each, url): None for each in (name, *route.former_names)}
        return [{"name": name, "definition": url} for name, url in found]

    def _patch_formats(self) -> dict[str, object]:
        return {"patchFormat": PATCH_FORMATS} if any("patch" in route.codes for route in self._table) else {}
