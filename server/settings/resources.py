"""Settings: how resources are read and written."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting

FHIR_VERSIONS = ("4.0", "4.3", "5.0")
VALIDATIONS = ("structure", "off", "full")
HANDLINGS = ("strict", "lenient")
CONDITIONAL_DELETES = ("single", "multiple")


@dataclass(frozen=True)
class Resources:
    """How resources are read and written."""

    fhir_version: str = setting(
        "FHIRSTORE_FHIR_VERSION",
        values.choice(*FHIR_VERSIONS),
        "4.0",
        "The FHIR release of all resources: `4.0` (R4), `4.3` (R4B) or `5.0` (R5).",
    )
    validation: str = setting(
        "FHIRSTORE_VALIDATION",
        values.choice(*VALIDATIONS),
        "structure",
        "What is checked on every write: `structure` (the types of FHIR), `full` (invariants and types of reference "
        "targets, too) or `off` (JSON with a type).",
    )
    reference_integrity: bool = setting(
        "FHIRSTORE_REFERENCE_INTEGRITY",
        values.flag,
        False,
        "Refuse a resource that refers to a resource of this server that is not there; costs 1 GET for each target.",
    )
    skip_unchanged: bool = setting(
        "FHIRSTORE_SKIP_UNCHANGED",
        values.flag,
        False,
        "A PUT or PATCH that changes nothing makes no version; costs 1 GET before the write.",
    )
    handling: str = setting(
        "FHIRSTORE_HANDLING",
        values.choice(*HANDLINGS),
        "strict",
        "What happens to a parameter that is not supported, unless the client says it by `Prefer: handling=…`: "
        "`strict` refuses the request, `lenient` ignores the parameter.",
    )
    conditional_delete: str = setting(
        "FHIRSTORE_CONDITIONAL_DELETE",
        values.choice(*CONDITIONAL_DELETES),
        "single",
        "How many resources `DELETE [type]?criteria` may delete: `single` refuses several matches with 412, "
        "`multiple` deletes up to 250, one by one.",
    )
