"""A page of resources as FHIR XML, though one of them may have none.

JSON holds characters that XML 1.0 cannot (U+FFFE, U+FFFF; control characters, where nothing was validated), and a
resource stored without validation may hold anything. To read such a resource as XML is refused: another character in
its place would be stored by whoever writes back what was read. On a page an OperationOutcome stands in its place and
says so: as an entry of its own in a search, as `response.outcome` in a history or the answer to a batch.

https://hl7.org/fhir/R4/xml.html · https://www.w3.org/TR/xml/#charsets
"""

from __future__ import annotations

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.xml.writing import write


def write_page(page: JsonObject, definitions: Definitions, *, pretty: bool = False) -> bytes:
    """The XML of a Bundle that a server made of stored resources, or of anything else that it made, as `write`.

    Raises InvalidResource where not the resources are why there is none.
    """
    try:
        return write(page, definitions, pretty=pretty)
    except InvalidResource:
        if not _is_page(page):
            raise
        return write(_with_outcomes(page, definitions), definitions, pretty=pretty)


def _is_page(resource: JsonObject) -> bool:
    """Whether it was put together for an answer: a Bundle that is stored has an id."""
    return resource.get("resourceType") == "Bundle" and "id" not in resource


def _with_outcomes(page: JsonObject, definitions: Definitions) -> JsonObject:
    entries = page.get("entry")
    if not isinstance(entries, list):
        return page
    is_search = page.get("type") == "searchset"
    return {**page, "entry": [_sayable(entry, definitions, is_search=is_search) for entry in entries]}


def _sayable(entry: object, definitions: Definitions, *, is_search: bool) -> object:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(resource, dict):
        return entry
    if _is_page(resource):  # what a read in a batch found
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
