"""The syntax of resource ids. https://hl7.org/fhir/R4/datatypes.html#id"""

from __future__ import annotations

import re

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def is_id(text: str) -> bool:
    """Returns whether `text` may be a resource's id.

    FHIR's pattern allows `.` and `..`, but no URL can address them: clients remove dot segments before they send a
    request (https://www.rfc-editor.org/rfc/rfc3986#section-5.2.4).
    """
    return ID.fullmatch(text) is not None and text not in {".", ".."}
