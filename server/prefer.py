"""The Prefer header (https://hl7.org/fhir/R4/http.html#return, https://www.rfc-editor.org/rfc/rfc7240)."""

from __future__ import annotations

import re

from server.call import Call

_SEPARATORS = re.compile(r"[,;]")


def is_lenient(call: Call) -> bool:
    """Does the client ask to ignore parameters that the server does not know (`handling=lenient`)?"""
    preferences = _SEPARATORS.split(call.header(b"prefer") or "")
    return any(part.replace(" ", "").replace('"', "").lower() == "handling=lenient" for part in preferences)
