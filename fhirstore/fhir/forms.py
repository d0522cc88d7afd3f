"""Other forms of a resource than its JSON: FHIR XML, and a part of its elements. Bytes in, bytes out.

What was parsed on the way is taken apart (`json.dismantle`), so that the garbage collector need not look through it.
"""

from __future__ import annotations

from collections.abc import Sequence

from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.subset import subset
from fhirstore.fhir.xml import read, write, write_page

_DEPTH_OF_A_PAGE = 8  # levels above a resource: Bundle, entry and its member, twice in the answer to a batch


def to_xml(content: bytes, definitions: Definitions, *, pretty: bool = False, page: bool = False) -> bytes:
    """Returns the XML of a resource; of a `page` (a Bundle) also where an entry has none, with an OperationOutcome.

    A page may hold many resources, each within the limits by itself, so the limits on depth and number are lifted.
    Raises InvalidResource for what XML cannot hold.
    """
    resource = json.parse(content, max_depth=json.MAX_DEPTH + _DEPTH_OF_A_PAGE, max_values=None)
    written = (write_page if page else write)(resource, definitions, pretty=pretty)
    json.dismantle(resource)
    return written


def from_xml(body: bytes, definitions: Definitions) -> bytes:
    """Returns the JSON of a resource given as FHIR XML. Raises MalformedContent, InvalidResource."""
    resource = read(body, definitions)
    written = json.encode_in_pieces(resource)
    json.dismantle(resource)
    return written


def part(
    content: bytes, definitions: Definitions, *, summary: str | None = None, elements: Sequence[str] = ()
) -> bytes:
    """Returns the part of a resource that `_summary` or `_elements` names, marked SUBSETTED. Raises InvalidResource."""
    resource = json.parse(content)
    chosen = subset(resource, definitions, summary=summary, elements=elements)
    written = json.encode_in_pieces(chosen)
    json.dismantle(chosen)
    json.dismantle(resource)
    return written
