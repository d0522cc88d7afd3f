"""Other forms of a resource than its stored JSON: XML, a subset of its elements, indented.

The one place where the server calls what the library has for that; every function takes bytes and gives bytes.
"""

from __future__ import annotations

from server.refusal import Refused

_NOT_YET = "is not implemented; leave it out"


def to_xml(content: bytes, release: str) -> bytes:
    """The resource as FHIR XML."""
    raise Refused(406, "FHIR XML is not implemented; ask for application/fhir+json")


def from_xml(body: bytes, release: str) -> bytes:
    """The resource that the XML holds, as JSON. Raises MalformedContent, InvalidResource."""
    raise Refused(415, "FHIR XML is not implemented; send application/fhir+json")


def subset(content: bytes, release: str, *, summary: str | None, elements: tuple[str, ...]) -> bytes:
    """Only the elements asked for, marked as SUBSETTED."""
    raise Refused(501, f"{'_elements' if elements else '_summary'} {_NOT_YET}")


def indented(body: bytes, *, xml: bool) -> bytes:
    """The same for human eyes."""
    raise Refused(501, f"_pretty {_NOT_YET}")
