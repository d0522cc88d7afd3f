"""The form that a client wants its answer in, and giving it that form.

`_format`, `_pretty`, `_summary` and `_elements` are parameters of every interaction
(https://hl7.org/fhir/R4/http.html#parameters); without `_format`, `Accept` says which form. Nearly every request wants
plain JSON: that is `AS_STORED`, and the stored bytes go out untouched, never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fhirstore.errors import InvalidResource
from fhirstore.search.query import each_once, parse_query
from server.content.forms import check_subset, indented, page_to_xml, subset, to_xml
from server.content.media import FHIR_JSON, FHIR_XML, MediaType, named, negotiate
from server.http.refusal import Refused

PARAMETERS = ("_format", "_pretty", "_summary", "_elements")
_FORMS = f"This server speaks {FHIR_JSON} and {FHIR_XML}"
_USUAL = frozenset(
    {b"application/fhir+json", b"*/*", b"application/*", b"application/fhir+json, */*", b"application/fhir+json,*/*"}
)


@dataclass(frozen=True, slots=True)
class Representation:
    """What a client wants. `summary`: a value of `_summary` but false, or empty; `elements`: names in `_elements`.

    Raises Refused (406), in each of its methods, where there is no such form of what it is given.
    """

    media: MediaType
    content_type: bytes
    release: str = "4.0"
    pretty: bool = False
    summary: str = ""
    elements: tuple[str, ...] = ()

    def check_resource(self) -> None:
        """Before anything is written: raises InvalidResource for `_summary=count`, which shows no resource."""
        if self.summary == "count":
            raise InvalidResource("_summary=count is for searches and histories only", code="value")

    def resource(self, content: bytes) -> bytes:
        """A resource's JSON, as the body of an answer."""
        if self is AS_STORED:
            return content
        body = self.entry(content)
        return to_xml(body, self.release, pretty=self.pretty) if self.media.xml else self.whole(body)

    def entry(self, content: bytes) -> bytes:
        """A resource's JSON, as it goes into a Bundle: the elements that are wanted, still JSON."""
        if not self.summary and not self.elements:
            return content
        return subset(content, self.release, summary=self.summary, elements=self.elements)

    def whole(self, body: bytes) -> bytes:
        """A finished JSON body (a Bundle, an OperationOutcome …) in the form that is wanted, all of it."""
        if self.media.xml:
            return page_to_xml(body, self.release, pretty=self.pretty)
        return indented(body) if self.pretty else body


AS_STORED = Representation(MediaType(FHIR_JSON), MediaType(FHIR_JSON).content_type.encode("ascii"))


def wanted(query_string: bytes, headers: Mapping[bytes, bytes], release: str) -> Representation:
    """What a request asks for. Raises Refused (406) where this server has no such form, InvalidResource."""
    accept = headers.get(b"accept") or None  # an empty list of what is accepted says nothing
    if not query_string or (b"_" not in query_string and b"%5" not in query_string):
        return AS_STORED if accept is None or accept in _USUAL else _accepted(accept, release)
    return wanted_by(parse_query(query_string), accept, release)


def wanted_by(pairs: Iterable[tuple[str, str]], accept: bytes | None, release: str) -> Representation:
    """The same, for parameters that came otherwise (in a form). Others among them are passed over."""
    given = each_once(pair for pair in pairs if pair[0] in PARAMETERS)
    if "_format" in given:
        form = _formatted(given["_format"], release)
    else:
        form = AS_STORED if accept is None else _accepted(accept, release)
    summary, pretty = given.get("_summary"), _pretty(given.get("_pretty"))
    elements = tuple(name.strip() for name in given["_elements"].split(",")) if given.get("_elements") else ()
    check_subset(summary, elements)
    if summary in (None, "false"):
        summary = ""
    if not (summary or elements or pretty):
        return form
    return replace(form, release=release, pretty=pretty, summary=summary, elements=elements)


def _accepted(accept: bytes, release: str) -> Representation:
    media = negotiate(accept.decode("latin-1"), release)
    if media is None:
        raise Refused(406, f"The Accept header allows no form that this server has. {_FORMS}, FHIR {release}")
    return _in(media, release)


def _formatted(format_: str, release: str) -> Representation:
    media = named(format_, release)
    if media is None:
        raise Refused(406, f"_format names a form that this server does not have. {_FORMS}, FHIR {release}")
    return _in(media, release)


def _in(media: MediaType, release: str) -> Representation:
    if media == AS_STORED.media:
        return AS_STORED
    return Representation(media, media.content_type.encode("ascii"), release)


def _pretty(text: str | None) -> bool:
    if text not in (None, "true", "false"):
        raise InvalidResource("_pretty must be true or false", code="value")
    return text == "true"
