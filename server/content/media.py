"""Media types: the form of a resource that `Accept` or `_format` asks for, or that a `Content-Type` says.

https://hl7.org/fhir/R4/http.html#mime-type. A generic type (`application/json`, `text/xml` …) is answered with the same
name. `fhirVersion` must be this server's (https://hl7.org/fhir/R4/http.html#version-parameter).
Quality and specificity: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from server.http.fields import listed, parameters, quality

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
UNKNOWN_TYPE = f"The Content-Type is not one this server reads; send {FHIR_JSON} or {FHIR_XML}"
_JSON = (FHIR_JSON, "application/json", "text/json", "application/json+fhir")
_XML = (FHIR_XML, "application/xml", "text/xml", "application/xml+fhir")
_ORDER = {name: position for position, name in enumerate(_JSON + _XML)}  # in the order of the server's preference
_SHORT = {"json": FHIR_JSON, "xml": FHIR_XML}
_FHIR_RANGES = {
    "*/*": (FHIR_JSON, FHIR_XML),
    "application/*": (FHIR_JSON, FHIR_XML),
    "text/*": ("text/json", "text/xml"),
}
_MOST_RANGES = 100
_UTF8 = ("utf-8", "utf8", "us-ascii")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type. `xml`: of FHIR XML, otherwise of FHIR JSON. `release`: the fhirVersion to repeat, or empty."""

    name: str
    release: str = ""

    @property
    def xml(self) -> bool:
        return self.name in _XML

    @property
    def content_type(self) -> str:
        """The value of Content-Type, with the charset, which is UTF-8 in FHIR."""
        version = f"; fhirVersion={self.release}" if self.release else ""
        return f"{self.name}; charset=utf-8{version}"


@dataclass(frozen=True, slots=True)
class Range:
    """One media range of an Accept header, in lower case. `specificity`: 0 for `*/*`, 2 for one type."""

    name: str
    quality: float
    given: tuple[tuple[str, str], ...]

    @property
    def specificity(self) -> int:
        if self.name == "*/*":
            return 0
        return 1 if self.name.endswith("/*") else 2


def ranges(accept: str) -> list[Range]:
    """Returns the media ranges of an Accept header; the first hundred."""
    found = []
    for item in listed(accept)[:_MOST_RANGES]:
        name, given = parameters(item)
        rest = tuple((key, value) for key, value in given.items() if key != "q")
        found.append(Range(name.lower(), quality(given), rest))
    return found


@lru_cache(maxsize=256)
def negotiate(accept: str, release: str) -> MediaType | None:
    """Returns the form that an Accept header prefers; None if it allows none. `release`: this server's, "4.0"."""
    best: dict[str, tuple[int, float, str]] = {}  # per name: specificity and quality of its closest range
    for range_ in ranges(accept):
        version = _release_asked(range_.given, release)
        if version is None or not is_utf8(dict(range_.given)):
            continue
        specificity = range_.specificity + (1 if version else 0)
        for name in _names(range_):
            best[name] = max(best.get(name, (-1, 0.0, "")), (specificity, range_.quality, version))
    order = [
        (quality_, specificity, -_ORDER[name], name, version)
        for name, (specificity, quality_, version) in best.items()
        if quality_ > 0
    ]
    if not order:
        return None
    _, _, _, name, version = max(order)
    return MediaType(name, version)


def named(format_: str, release: str) -> MediaType | None:
    """Returns the form that `_format` names, by a short name or a media type; None if this server does not have it."""
    name, given = parameters(format_.strip())
    version = _release_asked(tuple(given.items()), release)
    name = name.lower().replace(" ", "+")  # in a query string, an unescaped + is a space
    if version is None or not is_utf8(given) or not (name in _SHORT or name in _ORDER):
        return None
    return MediaType(_SHORT.get(name) or (FHIR_XML if name in _XML else FHIR_JSON), version)


def announced(content_type: str, release: str) -> MediaType | str:
    """Returns the form that a Content-Type says; a text that says what is wrong where this server does not read it."""
    name, given = parameters(content_type)
    name = name.lower()
    if name not in _ORDER:
        return UNKNOWN_TYPE
    if not is_utf8(given):
        return "FHIR is UTF-8; send charset=utf-8 or leave it out"
    if _release_asked(tuple(given.items()), release) is None:
        return f"This server speaks FHIR {release} only; send fhirVersion={release} or leave it out"
    return MediaType(name)


def is_utf8(given: Mapping[str, str]) -> bool:
    """Whether the `charset` among parameters is UTF-8, or missing."""
    return given.get("charset", "utf-8").lower() in _UTF8


def _names(range_: Range) -> Iterator[str]:
    if range_.name in _ORDER:
        yield range_.name
    yield from _FHIR_RANGES.get(range_.name, ())


def _release_asked(given: tuple[tuple[str, str], ...], release: str) -> str | None:
    """Returns the `fhirVersion` among parameters if it is this release; "" if there is none; None for another."""
    asked = dict(given).get("fhirversion")
    if asked is None:
        return ""
    return release if asked == release or asked.startswith(f"{release}.") else None
