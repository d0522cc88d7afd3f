"""Bodies of legal size that make work: each a few lines of Python, up to 16 MB for the server."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

LIMIT = 16 * 1024 * 1024 - 4096  # bytes: what a server takes by default, and some room

_DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def patient(members: str, id: str | None = None) -> bytes:
    """A Patient with these members, given as JSON."""
    known = "" if id is None else f',"id":"{id}"'
    return f'{{"resourceType":"Patient"{known},{members}}}'.encode()


def repeated(head: bytes, item: bytes, tail: bytes, *, separator: bytes = b",", limit: int = LIMIT) -> bytes:
    """As many items as fit into the limit."""
    count = (limit - len(head) - len(tail)) // (len(item) + len(separator))
    return head + separator.join([item] * count) + tail


def numbered(count: int, pattern: str, separator: str = ",") -> str:
    """The pattern `count` times, with 0, 1, 2 … in it."""
    return separator.join([pattern.replace("#", str(number)) for number in range(count)])


def doubling_json_patch(copies: int = 60) -> bytes:
    """A JSON Patch that copies `/a` into itself, so that it doubles each time."""
    add: dict[str, object] = {"op": "add", "path": "/a", "value": {"b": 1}}
    return json.dumps([add, *({"op": "copy", "from": "/a", "path": f"/a/{n}"} for n in range(copies))]).encode()


def shifting_json_patch(operations: int = 9_999) -> bytes:
    """A JSON Patch that puts every new item before all others."""
    first: dict[str, object] = {"op": "add", "path": "/a", "value": [0] * 500_000}
    return json.dumps([first, *([{"op": "add", "path": "/a/0", "value": 1}] * operations)]).encode()


def searching_fhirpath_patch(operations: int = 1_000) -> bytes:
    """A FHIRPath Patch each of whose operations looks at every name."""
    path = "Patient.name.where(given.where($this = 'x').exists()).first()"
    parts = [
        {"name": "type", "valueCode": "delete"},
        {"name": "path", "valueString": path},
    ]
    return json.dumps(
        {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}] * operations}
    ).encode()


def narrative(inside: str) -> bytes:
    """A Patient whose narrative has this inside."""
    return patient(f'"text":{{"status":"generated","div":{json.dumps(f"{_DIV}{inside}</div>")}}}')


def bundle(kind: str, entries: Iterator[str]) -> bytes:
    """A Bundle of these entries, given as JSON."""
    return f'{{"resourceType":"Bundle","type":"{kind}","entry":[{",".join(entries)}]}}'.encode()


def requests(count: int, method: str, url: str) -> Iterator[str]:
    """Entries without a resource; `#` in the URL is the entry's number."""
    return (f'{{"request":{{"method":"{method}","url":"{url.replace("#", str(n))}"}}}}' for n in range(count))


def linked_transaction(links: int) -> bytes:
    """A transaction whose second entry has a narrative with so many links to the first."""
    urn = "urn:uuid:0b1c7d1a-7b8e-4c5d-9a6f-000000000001"
    div = _DIV + f"<a href='{urn}'>x</a>" * links + "</div>"
    entry = '{{"fullUrl":"{}","resource":{},"request":{{"method":"POST","url":"Patient"}}}}'
    second = patient(f'"text":{{"status":"generated","div":{json.dumps(div)}}}').decode()
    first = patient('"active":true').decode()
    return bundle("transaction", iter([entry.format(urn, first), entry.format(f"{urn[:-1]}2", second)]))


def large_bundle(limit: int = LIMIT) -> bytes:
    """A collection of Observations, as large as may be: legal, and not even odd."""
    one = (
        b'{"fullUrl":"http://example.org/Observation/1","resource":{"resourceType":"Observation","status":"final",'
        b'"code":{"coding":[{"system":"http://loinc.org","code":"8302-2","display":"Body Height"}],"text":"Height"},'
        b'"subject":{"reference":"Patient/1"},"effectiveDateTime":"2020-01-01T10:00:00+01:00",'
        b'"valueQuantity":{"value":172.50,"unit":"cm","system":"http://unitsofmeasure.org","code":"cm"}}}'
    )
    return repeated(b'{"resourceType":"Bundle","id":"abuse","type":"collection","entry":[', one, b"]}", limit=limit)


def transaction_of_observations(count: int, method: str = "POST") -> bytes:
    """A transaction or batch's usual content, as many entries as are allowed."""
    resource = '{"resourceType":"Observation","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"}}'
    entry = f'{{"resource":{resource},"request":{{"method":"{method}","url":"Observation"}}}}'
    return bundle("transaction", iter([entry] * count))


def xml_patient(inside: bytes) -> bytes:
    """A Patient in XML."""
    return b'<Patient xmlns="http://hl7.org/fhir">' + inside + b"</Patient>"


def zipped(size: int = LIMIT) -> bytes:
    """Zeros, packed: some kilobytes that unpack to `size` bytes."""
    return gzip.compress(b"0" * size, 9)
