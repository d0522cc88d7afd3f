"""Other forms of a resource than its stored JSON: XML, and JSON with white space. Bytes in, bytes out."""

from __future__ import annotations

import codecs

import msgspec

from fhirstore import FhirStore
from fhirstore.errors import InvalidResource
from server.http.refusal import Refused


def to_xml(content: bytes, store: FhirStore, *, pretty: bool = False, page: bool = False) -> bytes:
    """Returns a resource as FHIR XML. Raises Refused (406) where XML cannot hold what the JSON holds.

    `page`: the resource was made for an answer; an OperationOutcome then stands for an entry that XML cannot hold.
    """
    try:
        return store.to_xml(content, pretty=pretty, page=page)
    except InvalidResource as error:
        where = ", ".join(error.issues[0].expression)
        raise Refused(406, f"This resource has no XML form: {error} ({where}); ask for JSON") from error


def without_mark(body: bytes) -> bytes:
    """Returns JSON or XML without the byte order mark that some clients send before it."""
    return body.removeprefix(codecs.BOM_UTF8)


def indented(content: bytes) -> bytes:
    """Returns JSON with a member a line. The literals of numbers and strings stay as they were written."""
    return msgspec.json.format(content, indent=2)
