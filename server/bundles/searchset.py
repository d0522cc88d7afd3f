"""The Bundle that answers a search.

https://hl7.org/fhir/R4/bundle.html#searchset · https://hl7.org/fhir/R4/search.html#conformance
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fhirstore import SearchPage, SearchRequest
from fhirstore.errors import Issue
from server.bundles import writer
from server.content.representation import Representation
from server.http.outcome import operation_outcome
from server.http.paging import page_links

_MATCH = b'{"search":{"mode":"match"}}'
_OUTCOME = b'{"search":{"mode":"outcome"}}'
_NAME = re.compile(r"[A-Za-z0-9_:.-]{1,64}")


def search_links(base_url: str, asked: SearchRequest, page: SearchPage) -> dict[str, str]:
    """Returns the URLs of this page and of the pages beside it, by relation."""
    url = base_url if asked.type is None else f"{base_url}/{asked.type}"
    return page_links(url, asked.parameters, asked.cursor, previous=page.previous, next=page.next)


def searchset(base_url: str, asked: SearchRequest, page: SearchPage, form: Representation) -> Iterator[bytes]:
    """Yields the Bundle, as JSON. `form`: of the matches."""
    head: dict[str, object] = {"type": "searchset"}
    if page.total is not None:
        head["total"] = page.total
    head["link"] = writer.links(search_links(base_url, asked, page))
    return writer.bundle(head, _entries(base_url, asked, page, form))


def _entries(base_url: str, asked: SearchRequest, page: SearchPage, form: Representation) -> Iterator[Iterator[bytes]]:
    for version in page.matches:
        url = f"{base_url}/{version.type}/{version.id}"
        yield writer.entry(_MATCH, full_url=url, resource=form.entry(version.content))
    warnings = tuple(_warnings(asked, page))
    if warnings:
        yield writer.entry(_OUTCOME, resource=operation_outcome(warnings))


def _warnings(asked: SearchRequest, page: SearchPage) -> Iterator[Issue]:
    """A warning for a total that is wanted and not known, and one for each criterion that was ignored."""
    if asked.view.summary == "count" and page.total is None:
        yield Issue("too-costly", "More than a thousand: the total is not known", severity="warning")
    for name in dict.fromkeys(name for name, _ in page.criteria.ignored):
        shown = f"'{name}'" if _NAME.fullmatch(name) else "with an odd name"
        yield Issue("not-supported", f"The search parameter {shown} is not supported; ignored", severity="warning")
