"""Paths that FHIR defines and this server does not support: answered 501 with a reason, alone and in a batch.

These are the operations of the release and of Bulk Data Access. A path that FHIR does not define is 404; a method that
FHIR does not use there is 405.

https://hl7.org/fhir/R4/operations.html · https://hl7.org/fhir/uv/bulkdata/
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fhirstore import Definitions, Operation
from server.http.refusal import Refused

_BULK_DATA = {
    "export": (
        Operation("export", "Resource", system=True, on_type=False, on_instance=False, affects_state=False),
        Operation("export", "Patient", system=False, on_type=True, on_instance=False, affects_state=False),
        Operation("export", "Group", system=False, on_type=False, on_instance=True, affects_state=False),
    ),
    "import": (Operation("import", "Resource", system=True, on_type=False, on_instance=False, affects_state=True),),
    "bulk-submit": (
        Operation("bulk-submit", "Resource", system=True, on_type=False, on_instance=False, affects_state=True),
    ),
    "bulk-submit-status": (
        Operation("bulk-submit-status", "Resource", system=True, on_type=False, on_instance=False, affects_state=True),
    ),
}
_CODE = re.compile(r"[a-z][A-Za-z0-9-]{0,63}")
_SEE = "see rest in /fhir/metadata"


def refuse_lacking(segments: Sequence[str], method: str, definitions: Definitions) -> None:
    """Raises Refused (501, 404, 405) where the path, below the base, is of an operation.

    The caller must have found no line of the route table for the path. Returns where it is none.
    """
    for at, segment in enumerate(segments):
        if segment.startswith("$"):
            _refuse_operation(segments, at, method, definitions)


def _refuse_operation(segments: Sequence[str], at: int, method: str, definitions: Definitions) -> None:
    code = segments[at][1:]
    name = f"${code}" if _CODE.fullmatch(code) else "of that name"
    defined = (*definitions.operations.get(code, ()), *_BULK_DATA.get(code, ()))
    if not defined:
        raise Refused(404, f"FHIR has no operation {name}; {_SEE}", code="not-supported")
    here = [one for one in defined if at == len(segments) - 1 and _can_be_invoked(one, segments[:at], definitions)]
    if not here:
        raise Refused(404, f"FHIR has the operation {name}, but not here; {_SEE}", code="not-supported")
    methods = ("POST",) if all(one.affects_state for one in here) else ("GET", "POST")
    _refuse(f"The operation {name} is not supported; {_SEE}", method, methods)


def _can_be_invoked(operation: Operation, on: Sequence[str], definitions: Definitions) -> bool:
    """Whether it can be invoked on the system (no segments), on a type, on an instance, or on a version of one."""
    if not on:
        return operation.system
    if operation.type not in ("Resource", on[0]) or on[0] not in definitions.resources:
        return False
    if len(on) == 1:
        return operation.on_type
    return operation.on_instance and (len(on) == 2 or (len(on) == 4 and on[2] == "_history"))


def _refuse(reason: str, method: str, methods: Sequence[str]) -> None:
    """Raises Refused: 501 with the reason, or 405 for a method that FHIR does not use there."""
    if method == "OPTIONS" or method in methods or (method == "HEAD" and "GET" in methods):
        raise Refused(501, reason)
    allow = ", ".join([*methods, *(["HEAD"] if "GET" in methods else []), "OPTIONS"])
    raise Refused(405, f"{method} is not possible here; FHIR has {allow}", headers={"Allow": allow})
