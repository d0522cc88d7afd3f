"""The syntax of `Reference.reference`.

- relative to the base: `Patient/123`, `Patient/123/_history/4`, or any other URL (`Task/1/$accept?ac=x`, a bare id).
  Only `Type/id` says anything about the target; other URLs are stored as they are.
- absolute: `http://example.org/fhir/Patient/123`, or any other URL
- `urn:uuid:…`, `urn:oid:…`: an entry of the same Bundle
- `#id`: a contained resource; `#` alone: the resource that contains it
- by search: `Patient?identifier=…`, in transactions, which resolve it (https://hl7.org/fhir/R4/http.html#trules), and
  so in a stored Bundle of type transaction. Anywhere else nothing resolves it, and it is refused.

https://hl7.org/fhir/R4/references.html#literal
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirstore.errors import InvalidResource
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.references import literal
from fhirstore.fhir.validation.nodes import typed_nodes

EXPECTED = (
    "a reference: Type/id or another URL relative to the base, an absolute URL, a whole urn:uuid: or urn:oid:, or #id;"
    " a reference by search, Type?query, is resolved in a transaction only"
)

_ID = r"[A-Za-z0-9.-]{1,64}"
_URI = r"[^\s\x00-\x1f\x7f]"
_UUID = r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_BY_SEARCH = r"[A-Z][A-Za-z]*+\?"
_URL = rf"(?!#|urn:(?:uuid|oid):|https?:(?!//[^/?#])){_URI}++"
_OTHER = rf"#(?:{_ID})?|(?:urn:uuid:{_UUID}|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*+))++)(?:#{_ID})?"

# The most frequent form comes first, because it matches faster than the general pattern.
_TYPE_AND_ID = r"[A-Z][A-Za-z]*+/[A-Za-z0-9.-]++"

REFERENCE = re.compile(rf"{_TYPE_AND_ID}|{_OTHER}|(?!{_BY_SEARCH}){_URL}")
"""Matches (in full) every well-formed reference except references by search."""

REFERENCE_IN_TRANSACTION = re.compile(rf"{_URL}|{_OTHER}")
"""Matches the same, and references by search."""

_REFERENCE_BY_SEARCH = re.compile(rf"{_BY_SEARCH}.*", re.DOTALL)


def is_by_search(reference: str) -> bool:
    """Returns whether this is `Type?query`, which only a transaction resolves."""
    return bool(_REFERENCE_BY_SEARCH.fullmatch(reference))


def references_by_search(definitions: Definitions, resource: JsonObject) -> Iterator[str]:
    """Yields the expression of every reference by search, but not of those inside a Bundle of type transaction.

    The structure of the resource need not be valid.
    """
    for node in typed_nodes(definitions, resource):
        if node.type == "Reference" and is_by_search(literal(node.members)) and not _is_transaction(resource):
            yield f"{node.path}.reference"


def refuse_references_by_search(definitions: Definitions, resource: JsonObject, *, place: str = "") -> None:
    """Raises InvalidResource for the first reference by search. `place`: the resource's expression in its Bundle, if
    any.
    """
    found = next(references_by_search(definitions, resource), None)
    if found is not None:
        where = f"{place}.{found.partition('.')[2]}" if place else found
        raise InvalidResource(
            "A reference by search, Type?query, is resolved in a transaction only; send one, or refer to Type/id",
            code="not-supported",
            expression=(where,),
        )


def _is_transaction(resource: JsonObject) -> bool:
    return resource.get("resourceType") == "Bundle" and resource.get("type") == "transaction"
