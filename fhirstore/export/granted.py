"""What of an export an access may have: the types that were asked for and that its `system/` scopes grant.

A type that is asked for by name and is not granted refuses the export; without names, what is not granted is left out.

https://hl7.org/fhir/uv/bulkdata/authorization/index.html#scopes
"""

from __future__ import annotations

from dataclasses import replace

from fhirstore.access.sight import Sight
from fhirstore.errors import AccessDenied
from fhirstore.export.request import PATIENT, PROVENANCE, ExportRequest, compartment_types
from fhirstore.fhir.definitions.facts import Definitions

GROUP = "Group"
_RIGHTS = "an export needs r and s on a type, without criteria"


def granted(request: ExportRequest, sight: Sight, definitions: Definitions) -> ExportRequest:
    """Returns the request for the types that are granted. Raises AccessDenied."""
    asked = [type for type in request.types if type in definitions.resources]
    needed = [*asked]
    if request.level == "group":
        needed.append(GROUP)  # its members are read
    if request.patients:
        needed.append(PATIENT)  # whether these exist is told
    if request.include_associated:
        needed.append(PROVENANCE)
    refused = [type for type in needed if not sight.exports(type)]
    if refused:
        raise AccessDenied(
            f"No system scope of this token allows to export {', '.join(dict.fromkeys(refused))} ({_RIGHTS})"
        )
    if request.types:
        return request
    among = definitions.resources if request.level == "system" else compartment_types(definitions)
    types = sorted(type for type in among if sight.exports(type))
    if not types:
        raise AccessDenied(f"No system scope of this token allows to export any type ({_RIGHTS})")
    return request if len(types) == len(among) else replace(request, types=types)
