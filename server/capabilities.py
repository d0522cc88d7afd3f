"""The CapabilityStatement, computed from the route table: what is not in the table is not claimed.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from fhirstore import RESOURCE_TYPES, __version__
from server.route import Route

_SYSTEM_CODES = frozenset({"transaction", "batch", "search-system", "history-system"})
_STARTED = datetime.now(UTC).isoformat(timespec="seconds")


def capability_statement(base_url: str, table: Iterable[Route]) -> dict[str, object]:
    """The resource, for the API at `base_url`."""
    codes = [code for route in table for code in route.codes]
    system = [{"code": code} for code in codes if code in _SYSTEM_CODES]
    resource: dict[str, object] = {
        "interaction": [{"code": code} for code in codes if code not in _SYSTEM_CODES],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": False,
        "conditionalRead": "not-supported",
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
    }
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _STARTED,
        "kind": "instance",
        "software": {"name": "fhirstore", "version": __version__},
        "implementation": {"description": "FHIR on object storage", "url": base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [
            {
                "mode": "server",
                "resource": [{"type": name} | resource for name in sorted(RESOURCE_TYPES)],
                "interaction": system,
            }
        ],
    }
