"""Other forms of a resource than its stored JSON: XML, a subset of its elements, indented.

The one place where the server calls what the library has for that; every function takes bytes and gives bytes.
`release` is FHIR's, "4.0".
"""

from __future__ import annotations

from collections.abc import Callable

from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.pretty import indented as indented_json
from fhirstore.fhir.subset import check
from fhirstore.fhir.subset import subset as subset_of
from fhirstore.fhir.xml import read, write, write_page
from server.http.refusal import Refused

_DEPTH_OF_A_PAGE = 8  # levels above a resource: Bundle, entry and its place, twice in the answer to a batch


def to_xml(content: bytes, release: str, *, pretty: bool = False) -> bytes:
    """A stored resource as FHIR XML. Raises Refused (406) where XML cannot say what the JSON says."""
    return _in_xml(write, content, release, pretty)


def page_to_xml(content: bytes, release: str, *, pretty: bool = False) -> bytes:
    """The same for what was made for an answer; on a page an OperationOutcome stands for what has no XML."""
    return _in_xml(write_page, content, release, pretty)


def _in_xml(form: Callable[..., bytes], content: bytes, release: str, pretty: bool) -> bytes:
    try:
        # It was within the limits when it was stored; a page holds more of them, and each deeper inside.
        resource = json.parse(content, max_depth=json.MAX_DEPTH + _DEPTH_OF_A_PAGE, max_values=None)
        written = form(resource, definitions(release), pretty=pretty)
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


def without_mark(body: bytes) -> bytes:
    """JSON or XML without the byte order mark that some clients put before it."""
    return body.removeprefix(json.BYTE_ORDER_MARK)


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
