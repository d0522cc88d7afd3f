"""Writes a page of resources as FHIR XML, even if one of the resources has no XML form.

JSON may hold characters that XML 1.0 does not have (U+FFFE, U+FFFF; without validation also control characters), and a
resource stored without validation may hold anything. Reading such a resource as XML is refused: a client that writes
back what it read would store the replaced characters. In a page an OperationOutcome takes its place and says why: as an
entry of its own in a search, as `response.outcome` in a history or in the answer to a batch.

https://hl7.org/fhir/R4/xml.html · https://www.w3.org/TR/xml/#charsets
"""

from __future__ import annotations

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.xml.writing import write


def write_page(page: JsonObject, definitions: Definitions, *, pretty: bool = False) -> bytes:
    """Returns the XML of an answer of the server, such as a Bundle of stored resources. Otherwise as `write`.

    Raises InvalidResource if there is no XML form for another reason than the resources in the Bundle.
    """
    try:
        return write(page, definitions, pretty=pretty)
    except InvalidResource:
        if not _is_page(page):
            raise
        return write(_with_outcomes(page, definitions), definitions, pretty=pretty)


def _is_page(resource: JsonObject) -> bool:
    """Returns whether this Bundle was made for an answer: a stored Bundle has an id."""
    return resource.get("resourceType") == "Bundle" and "id" not in resource


def _with_outcomes(page: JsonObject, definitions: Definitions) -> JsonObject:
    """Returns the page with an OperationOutcome instead of each resource that has no XML form."""
    entries = page.get("entry")
    if not isinstance(entries, list):
        return page
    is_search = page.get("type") == "searchset"
    return {**page, "entry": [_writable_entry(entry, definitions, is_search=is_search) for entry in entries]}


def _writable_entry(entry: object, definitions: Definitions, *, is_search: bool) -> object:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(resource, dict):
        return entry
    if _is_page(resource):  # the answer to a search in a batch
        return {**entry, "resource": _with_outcomes(resource, definitions)}
    try:
        write(resource, definitions)
    except InvalidResource as error:
        outcome = _outcome(resource, error)
    else:
        return entry
    response = entry.get("response")
    if is_search or not isinstance(response, dict):
        return {"resource": outcome} | ({"search": {"mode": "outcome"}} if is_search else {})
    rest = {name: value for name, value in entry.items() if name != "resource"}
    return {**rest, "response": {**response, "outcome": outcome}}


def _outcome(resource: JsonObject, error: InvalidResource) -> JsonObject:
    where = ", ".join(error.issues[0].expression)
    named = f"{resource.get('resourceType')}/{resource.get('id')}"
    diagnostics = f"{named} has no XML form: {error} ({where}); ask for JSON"
    issue = {"severity": "warning", "code": "not-supported", "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
