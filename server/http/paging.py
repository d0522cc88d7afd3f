"""The links from page to page of a history or a search, in the Bundle and in the header `Link`.

https://hl7.org/fhir/R4/http.html#paging · https://www.rfc-editor.org/rfc/rfc8288
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from starlette.responses import Response

from fhirstore import CURSOR

_MOST_IN_HEADER = 4_000  # characters; longer links are in the Bundle alone
_RELATIONS = {"previous": "prev"}  # FHIR's name -> that of RFC 8288


def page_links(
    url: str, parameters: Sequence[tuple[str, str]], cursor: str | None, *, previous: str | None, next: str | None
) -> dict[str, str]:
    """Returns URLs by relation. `parameters`: of every page; `cursor`: of this one, the others: of those beside it."""
    every = urlencode(parameters, safe=":")
    links = {"self": _page_url(url, every, cursor)}
    for relation, other in (("previous", previous), ("next", next)):
        if other is not None:
            links[relation] = _page_url(url, every, other)
    return links


def linked(response: Response, links: Mapping[str, str]) -> Response:
    """Adds the header `Link` to a page's answer, unless the links (relation -> URL) are too long for a header."""
    value = ", ".join(f'<{url}>; rel="{_RELATIONS.get(name, name)}"' for name, url in links.items())
    if len(value) <= _MOST_IN_HEADER and value.isascii():
        response.raw_headers.append((b"link", value.encode("ascii")))
    return response


def _page_url(url: str, every: str, cursor: str | None) -> str:
    """`every`: the parameters of every page, quoted."""
    place = "" if cursor is None else urlencode([(CURSOR, cursor)], safe=":")
    query = "&".join(part for part in (every, place) if part)
    return f"{url}?{query}" if query else url
