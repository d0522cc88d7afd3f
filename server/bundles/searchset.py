"""The Bundle that answers a search.

https://hl7.org/fhir/R4/bundle.html#searchset · https://hl7.org/fhir/R4/search.html#conformance
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from fhirstore import SearchPage, SearchRequest
from fhirstore.errors import Issue
from server.bundles import writer
from server.content.representation import Representation
from server.http.outcome import operation_outcome
from server.http.paging import page_links

_MATCH = b',"search":{"mode":"match"}}'
_INCLUDE = b',"search":{"mode":"include"}}'
_OUTCOME = b'{"search":{"mode":"outcome"}}'
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")


def search_links(base_url: str, asked: SearchRequest, page: SearchPage) -> dict[str, str]:
    """Returns the URLs of this page and of the pages beside it, by relation."""
    url = f"{base_url}/{asked.path}" if asked.path else base_url
    return page_links(url, asked.parameters, asked.cursor, previous=page.previous, next=page.next)


def searchset(
    base_url: str,
    asked: SearchRequest,
    page: SearchPage,
    form: Representation,
    *,
    links: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Yields the Bundle, as JSON. `form`: of the resources. `links`: those of `search_links`, where they are known."""
    head: dict[str, object] = {"type": "searchset"}
    if page.total is not None:
        head["total"] = page.total
    head["link"] = writer.links(search_links(base_url, asked, page) if links is None else links)
    return writer.bundle(head, _entries(base_url, page, form))


def _entries(base_url: str, page: SearchPage, form: Representation) -> Iterator[Iterable[bytes]]:
    """Yields the pieces of each entry: three for a resource, since there are many on a page."""
    start = b'{"fullUrl":' + writer.encode(f"{base_url}/")[:-1]
    for end, versions in ((_MATCH, page.matches), (_INCLUDE, page.included)):
        for version in versions:
            name = f'{version.type}/{version.id}","resource":'
            yield start + name.encode(), form.entry(version.content), end
    warnings = tuple(_warnings(page))
    if warnings:
        yield writer.entry(_OUTCOME, resource=operation_outcome(warnings))


def _warnings(page: SearchPage) -> Iterator[Issue]:
    """What the client should know of the answer, and one warning for each parameter that was ignored."""
    yield from page.outcomes
    for name in dict.fromkeys(name for name, _ in page.query.ignored):
        shown = f"'{name}'" if _NAME.fullmatch(name) else "with an odd name"
        yield Issue("not-supported", f"The search parameter {shown} is not supported; ignored", severity="warning")
