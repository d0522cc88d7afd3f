"""Reads a query string as names and values. A malformed one is refused, so that it is never searched for as another.

https://www.rfc-editor.org/rfc/rfc3986#section-2.1 · https://url.spec.whatwg.org/#urlencoded-parsing (which
is lenient: there `%zz` means itself, and bytes that are not UTF-8 become U+FFFD)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

from fhirstore.errors import InvalidResource

MOST_VALUES = 1_000
"""Values of all parameters of a search together, because each may cost a storage request."""
_MOST_PARAMETERS = 1_000
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def parse_query(text: str | bytes) -> list[tuple[str, str]]:
    """Returns names and values, unquoted, in the order given; a name without a value has an empty one.

    Raises InvalidResource: a malformed escape, bytes that are not UTF-8, more than a thousand parameters.
    """
    try:
        query = text if isinstance(text, str) else text.decode()
        if _NO_ESCAPE.search(query):
            raise InvalidResource("A % begins no escape like %7C; write %25 for a percent sign", code="value")
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS, separator="&")
    except ValueError:
        raise InvalidResource("The parameters are not UTF-8, or there are more than a thousand", code="value") from None


def each_once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Returns parameters by name. Raises InvalidResource where one is given twice."""
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given:
            raise InvalidResource(f"{name} is given more than once", code="value")
        given[name] = value
    return given


def parse_condition_query(type: str, text: str) -> list[tuple[str, str]]:
    """As `parse_query`; `?` or `[type]?` may precede the parameters. Raises InvalidResource for any other URL."""
    path, mark, query = text.partition("?")
    if not mark or "=" in path:
        return parse_query(text)
    if path not in ("", type):
        raise InvalidResource(f"A condition is the parameters of a search of {type}, without another URL", code="value")
    return parse_query(query)


def shown(name: str) -> str:
    """Returns a parameter's name without characters that are not safe to repeat."""
    return "".join(char if char.isalnum() or char in "-_:.$" else "?" for char in name[:64])
