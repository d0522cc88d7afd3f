"""Other forms of a resource than its stored JSON: XML, a subset of its elements, indented.

The one place where the server calls what the library has for that; every function takes bytes and gives bytes.
`release` is FHIR's, "4.0".
"""

from __future__ import annotations

from fhirstore import json
from fhirstore.definitions.load import definitions
from fhirstore.errors import InvalidResource
from fhirstore.pretty import indented as indented_json
from fhirstore.subset import check
from fhirstore.subset import subset as subset_of
from fhirstore.xml import read, write
from server.refusal import Refused


def to_xml(content: bytes, release: str, *, pretty: bool = False) -> bytes:
    """The resource as FHIR XML. Raises Refused (406) where XML cannot say what the JSON says."""
    try:
        resource = json.parse(content)
        written = write(resource, definitions(release), pretty=pretty)
        json.dismantle(resource)
        return written
    except InvalidResource as error:
        where = ", ".join(error.issues[0].expression)
        raise Refused(406, f"This resource has no XML form: {error} ({where}); ask for JSON") from error


def from_xml(body: bytes, release: str) -> bytes:
    """The resource that the XML holds, as JSON. Raises MalformedContent, InvalidResource."""
    resource = read(body, definitions(release))
    written = json.encode_in_pieces(resource)
    json.dismantle(resource)
    return written


def subset(content: bytes, release: str, *, summary: str, elements: tuple[str, ...]) -> bytes:
    """Only the elements asked for, marked as SUBSETTED. Raises InvalidResource."""
    resource = json.parse(content)
    part = subset_of(resource, definitions(release), summary=summary or None, elements=elements)
    written = json.encode_in_pieces(part)
    json.dismantle(part)
    json.dismantle(resource)
    return written


def check_subset(summary: str | None, elements: tuple[str, ...]) -> None:
    """Raises InvalidResource for a subset that nobody can have."""
    check(summary, elements)


def indented(content: bytes) -> bytes:
    """JSON for human eyes; every number stays as it was written."""
    return indented_json(content)
