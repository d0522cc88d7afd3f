"""What a history or a search is asked about its pages, and the links from page to page.

https://hl7.org/fhir/R4/http.html#history, https://hl7.org/fhir/R4/http.html#paging. `_cursor` is this server's own and
appears only in links it gives out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

from starlette.responses import Response

from fhirstore import HistoryQuery
from fhirstore.errors import InvalidResource
from fhirstore.fhir.times import parse_instant, period
from fhirstore.search.query import each_once
from server.content.representation import PARAMETERS
from server.http.call import Call
from server.http.parameters import refuse_unknown

CURSOR = "_cursor"
_OWN = ("_count", "_since", "_at", "_sort", CURSOR)
_OLDEST_FIRST = {"-_lastUpdated": False, "none": False, "_lastUpdated": True}
_MOST_DIGITS = 9
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class PageRequest:
    """`parameters`: those understood, as they came, without the cursor."""

    query: HistoryQuery
    cursor: str | None
    parameters: Sequence[tuple[str, str]]

    def link(self, url: str, cursor: str | None) -> str:
        """The URL of a page of the same history."""
        return page_url(url, self.parameters, cursor)


def page_request(call: Call) -> PageRequest:
    """Read the URL's parameters. Raises InvalidResource, which names the one that is wrong or unknown."""
    refuse_unknown(call, *_OWN)
    values = each_once(pair for pair in call.query if pair[0] in _OWN or pair[0] in PARAMETERS)
    count = count_of(values)
    if call.representation.summary == "count":
        count = 0
    query = HistoryQuery(
        count=HistoryQuery().count if count is None else count,
        since=_read(values, "_since", parse_instant, "an instant like 2024-05-01T10:00:00Z"),
        at=_read(values, "_at", period, "a date or an instant: 2024, 2024-05, 2024-05-01 or 2024-05-01T10:00:00Z"),
        oldest_first=bool(_read(values, "_sort", _OLDEST_FIRST.__getitem__, "-_lastUpdated, _lastUpdated or none")),
    )
    cursor = values.pop(CURSOR, None)
    return PageRequest(query, cursor, tuple(values.items()))


def count_of(values: Mapping[str, str]) -> int | None:
    """`_count`; None if it is not given. Raises InvalidResource."""
    return _read(values, "_count", _count, "a whole number, 0 or more")


def page_url(url: str, parameters: Sequence[tuple[str, str]], cursor: str | None) -> str:
    """The URL of one page of what `url` with these parameters gives."""
    every = [*parameters, *([(CURSOR, cursor)] if cursor is not None else [])]
    return f"{url}?{urlencode(every, safe=':')}" if every else url


_MOST_IN_HEADER = 4_000  # characters; those of a long form stand in the Bundle alone
_RELATIONS = {"previous": "prev"}  # as FHIR calls it -> as https://www.rfc-editor.org/rfc/rfc8288 does


def linked(response: Response, links: Mapping[str, str]) -> Response:
    """The page's answer, with its links (relation -> URL) in the header `Link`, too, unless they are too long."""
    value = ", ".join(f'<{url}>; rel="{_RELATIONS.get(name, name)}"' for name, url in links.items())
    if len(value) <= _MOST_IN_HEADER and value.isascii():
        response.raw_headers.append((b"link", value.encode("ascii")))
    return response


def _read(values: Mapping[str, str], name: str, parse: Callable[[str], _Value], form: str) -> _Value | None:
    if name not in values:
        return None
    try:
        return parse(values[name])
    except (ValueError, KeyError) as error:
        raise InvalidResource(f"{name} must be {form}", code="value") from error


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ValueError("not a count")
    return int(text)
