"""The CapabilityStatement, computed from the route table.

https://hl7.org/fhir/R4/capabilitystatement.html · https://hl7.org/fhir/R4/terminologycapabilities.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from fhirstore import Definitions, SupportedParameter, SupportedSearch, __version__
from fhirstore.threads import offload
from server.content.media import FHIR_JSON, FHIR_XML
from server.documents.contract import CAPABILITIES, PATCH_FORMATS
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
_COMPARTMENT = "http://hl7.org/fhir/CompartmentDefinition"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SERVICES = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_BULK_DATA = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"
_NOT_IN_FILTERS = "http://hl7.org/fhir/uv/bulkdata/Extension/operation-not-supported"
_NOT_CLAIMED: dict[str, object] = {
    "conditionalCreate": False,
    "conditionalRead": "not-supported",
    "conditionalUpdate": False,
    "conditionalDelete": "not-supported",
}
_MOST_KEPT = 4  # documents of about a megabyte; a server has one base URL, or one per tenant
# When this software was installed: the same in every process, another after an update.
_DATE = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC).isoformat(timespec="seconds")
_DESCRIPTION = "No authentication: whoever reaches this server may do everything. Put it behind something that asks."


class Capabilities:
    """The capabilities of one server, for each `mode` of the capabilities interaction."""

    def __init__(self, table: Sequence[Route], settings: Settings, definitions: Definitions) -> None:
        self._table = [route for route in table if route.is_documented(settings)]
        self._settings = settings
        self._facts = definitions
        self._supported = SupportedSearch.of(definitions, texts=settings.index_text)
        self._of_mode: dict[str, list[dict[str, object]]] = {}
        self._kept: dict[tuple[str, str, str], tuple[bytes, str]] = {}
        self._exports = any(route.path.endswith("/$export") for route in self._table)

    async def content(
        self, base_url: str, *, mode: str = "full", tenant: SupportedSearch | None = None
    ) -> tuple[bytes, str]:
        """Returns the same as JSON, and its opaque tag. The first of a process takes half a second, in a thread.

        `tenant`: what its searches can ask for; None: what the release has.
        """
        key = (base_url, mode, "" if tenant is None or not tenant.own_types else tenant.revision)
        kept = self._kept.get(key)
        if kept is None:
            kept = await offload(self._encoded, base_url, mode, tenant if key[2] else None)
            while len(self._kept) >= _MOST_KEPT:
                self._kept.pop(next(iter(self._kept)), None)
            self._kept[key] = kept
        return kept

    def _encoded(self, base_url: str, mode: str, tenant: SupportedSearch | None) -> tuple[bytes, str]:
        content = msgspec.json.encode(self.statement(base_url, mode=mode, tenant=tenant))
        return content, hashlib.sha256(content).hexdigest()[:16]

    def statement(
        self, base_url: str, *, mode: str = "full", tenant: SupportedSearch | None = None
    ) -> dict[str, object]:
        """Returns the resource for the API at `base_url`. `mode`: one of MODES. `tenant`: as for `content`."""
        if mode == "terminology":
            return self._head("TerminologyCapabilities", base_url)  # no terminology service here
        codes = {code: None for route in self._table for code in route.codes}  # each once, in the table's order
        rest = {
            "mode": "server",
            "security": self._security(base_url),
            "resource": self._resources(list(codes), mode, tenant),
            "interaction": [{"code": code} for code in codes if code in _SYSTEM_CODES],
            "searchParam": self._system_search_parameters() if "search-system" in codes else [],
            "operation": self._operations(("",)),
            "compartment": self._compartments(),
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

    def _resources(self, codes: list[str], mode: str, tenant: SupportedSearch | None) -> list[dict[str, object]]:
        known = self._of_mode.get(mode)
        if known is None:
            types = _NORMATIVE if mode == "normative" else self._facts.resources
            known = self._of_mode[mode] = self._resources_of(codes, types)
        if tenant is None or "search-type" not in codes:
            return known
        return [one | _searches(tenant, str(one["type"])) if one["type"] in tenant.own_types else one for one in known]

    def _resources_of(self, codes: list[str], types: frozenset[str]) -> list[dict[str, object]]:
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
                **(_searches(self._supported, type_) if searches else {}),
                "operation": self._operations(("/{type}", "/{type}/{id}", f"/{type_}", f"/{type_}/{{id}}")),
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

    def _system_search_parameters(self) -> list[dict[str, object]]:
        """The parameters of GET [base]?…; `_type` has no SearchParameter resource."""
        types: dict[str, object] = {"name": "_type", "type": "special", "documentation": "Types, separated by commas."}
        return [types, *(_parameter(one) for one in self._supported.of_all_types())]

    def _compartments(self) -> list[str]:
        """The definitions of the compartments that can be searched."""
        if not any(route.path.startswith("/{compartment}/") for route in self._table):
            return []
        return [f"{_COMPARTMENT}/{one[0].lower()}{one[1:]}" for one in sorted(self._facts.compartments)]

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


def _searches(supported: SupportedSearch, type_: str) -> dict[str, object]:
    """What searches of a type can ask for; the IG of Bulk Data wants the parameters of `_typeFilter` here, too."""
    return {
        "searchInclude": supported.includes(type_),
        "searchRevInclude": supported.reverse_includes(type_),
        "searchParam": [_parameter(one) for one in supported.parameters(type_)],
    }


def _parameter(supported: SupportedParameter) -> dict[str, object]:
    told: dict[str, object] = {"documentation": supported.documentation} if supported.documentation else {}
    if not supported.filters:
        told = {"extension": [{"url": _NOT_IN_FILTERS, "valueCanonical": _BULK_DATA}], **told}
    return {"name": supported.name, "definition": supported.url, "type": supported.type, **told}
