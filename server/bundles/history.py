"""The Bundle that answers a history.

Its `meta.lastUpdated` is a time before which no version can appear any more: a client that sends it as the next
`_since` misses nothing.

https://hl7.org/fhir/R4/bundle.html#history
"""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore import HistoryPage, HistoryRequest, instant
from server.bundles import writer
from server.content.representation import Representation
from server.http.fields import etag
from server.http.paging import page_links


def history_links(base_url: str, asked: HistoryRequest, page: HistoryPage) -> dict[str, str]:
    """Returns the URLs of this page and of the pages beside it, by relation."""
    url = "/".join([base_url, *filter(None, (asked.type, asked.id)), "_history"])
    return page_links(url, asked.parameters, asked.cursor, previous=page.previous, next=page.next)


def history(base_url: str, asked: HistoryRequest, page: HistoryPage, form: Representation) -> Iterator[bytes]:
    """Yields the Bundle, as JSON. `form`: of the versions."""
    head: dict[str, object] = {"meta": {"lastUpdated": instant(page.as_of)}, "type": "history"}
    if page.total is not None:
        head["total"] = page.total
    head["link"] = writer.links(history_links(base_url, asked, page))
    return writer.bundle(head, _entries(base_url, page, form))


def _entries(base_url: str, page: HistoryPage, form: Representation) -> Iterator[Iterator[bytes]]:
    for version in page.versions:
        url = f"{version.type}/{version.id}"
        status = "204" if version.deleted else "201" if version.created else "200"
        rest = {
            "request": {"method": version.method, "url": version.type if version.method == "POST" else url},
            "response": {
                "status": status,
                "etag": etag(version.version_id),
                "lastModified": instant(version.last_updated_ms),
            },
        }
        resource = None if version.deleted else form.entry(version.content)
        yield writer.entry(writer.encode(rest), full_url=f"{base_url}/{url}", resource=resource)
