"""The Bundle that answers a search, put together from the stored bytes of the matches.

https://hl7.org/fhir/R4/bundle.html#searchset, https://hl7.org/fhir/R4/search.html#conformance
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from fhirstore import SearchPage
from fhirstore.errors import Issue
from server.http.call import Call
from server.http.outcome import operation_outcome

_encode = msgspec.json.Encoder().encode
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")


def searchset(call: Call, page: SearchPage, links: Mapping[str, str]) -> bytes:
    """The Bundle, as JSON. `links`: relation -> URL."""
    head: dict[str, object] = {"resourceType": "Bundle", "type": "searchset"}
    if page.total is not None:
        head["total"] = page.total
    head["link"] = [{"relation": relation, "url": url} for relation, url in links.items()]
    parts = [_encode(head)[:-1]]
    separator = b',"entry":['
    for entry in _entries(call, page):
        parts += (separator, entry)
        separator = b","
    parts.append(b"]}" if len(parts) > 1 else b"}")
    return b"".join(parts)


def _entries(call: Call, page: SearchPage) -> Iterator[bytes]:
    base_url = call.base_url
    for version in page.matches:
        url = _encode(f"{base_url}/{version.type}/{version.id}")
        resource = call.representation.entry(version.content)
        yield b'{"fullUrl":%s,"resource":%s,"search":{"mode":"match"}}' % (url, resource)
    warnings = tuple(_warnings(call, page))
    if warnings:
        yield b'{"resource":%s,"search":{"mode":"outcome"}}' % operation_outcome(warnings)


def _warnings(call: Call, page: SearchPage) -> Iterator[Issue]:
    """A total that is asked for and not known; each parameter that was ignored, unless its name may be anything."""
    if call.representation.summary == "count" and page.total is None:
        yield Issue("too-costly", "More than a thousand: the total is not known", severity="warning")
    for name in dict.fromkeys(name for name, _ in page.criteria.ignored):
        shown = f"'{name}'" if _NAME.fullmatch(name) else "with an odd name"
        yield Issue("not-supported", f"The search parameter {shown} is not supported; ignored", severity="warning")
