"""The form of an answer that a client asks for, and the conversion to it.

`_format`, `_pretty`, `_summary` and `_elements` are parameters of every interaction
(https://hl7.org/fhir/R4/http.html#parameters); without `_format`, `Accept` says which form. Nearly every request asks
for plain JSON: that is `AS_STORED`, and the stored bytes are sent without being parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fhirstore import FORM_PARAMETERS, FhirStore, View, each_once, parse_query
from fhirstore.errors import InvalidResource
from server.content.forms import indented, to_xml
from server.content.media import FHIR_JSON, FHIR_XML, MediaType, named, negotiate
from server.http.refusal import Refused

_ALL = View()
_FORM_PARAMETER = re.compile(rb"(?:^|&)(?:_(?:format|pretty|summary|elements)|[^&=]*%)")
"""Where one of FORM_PARAMETERS begins, or a name that may be one, since it has escapes."""
_FORMS = f"This server speaks {FHIR_JSON} and {FHIR_XML}"
_USUAL = frozenset(
    {b"application/fhir+json", b"*/*", b"application/*", b"application/fhir+json, */*", b"application/fhir+json,*/*"}
)


@dataclass(frozen=True, slots=True)
class Representation:
    """The form that a client wants. `store`: gives a resource any other form than the stored one; None: of AS_STORED.

    Each method raises Refused (406) where what it is given does not have this form.
    """

    media: MediaType
    content_type: bytes
    store: FhirStore | None = None
    pretty: bool = False
    view: View = _ALL

    def check_resource(self) -> None:
        """Raises InvalidResource for `_summary=count`, which shows no resource. A write calls it before it writes."""
        if self.view.summary == "count":
            raise InvalidResource("_summary=count is for searches and histories only", code="value")

    def resource(self, content: bytes) -> bytes:
        """Returns the body of an answer that is this resource, given as JSON."""
        if self is AS_STORED:
            return content
        body = self.entry(content)
        if self.media.xml and self.store is not None:
            return to_xml(body, self.store, pretty=self.pretty)
        return self.whole(body)

    def entry(self, content: bytes) -> bytes:
        """Returns the wanted elements of a resource as JSON, to go into a Bundle."""
        view = self.view
        if view.whole or self.store is None:
            return content
        return self.store.part(content, summary=view.summary or None, elements=view.elements)

    def whole(self, body: bytes) -> bytes:
        """Returns a finished JSON body (a Bundle, an OperationOutcome …) in the wanted form, with all its elements."""
        if self.media.xml and self.store is not None:
            return to_xml(body, self.store, pretty=self.pretty, page=True)
        return indented(body) if self.pretty else body


AS_STORED = Representation(MediaType(FHIR_JSON), MediaType(FHIR_JSON).content_type.encode("ascii"))


def wanted(query_string: bytes, headers: Mapping[bytes, bytes], store: FhirStore) -> Representation:
    """Returns the form that a request asks for. Raises InvalidResource, Refused (406: this server does not have it)."""
    accept = headers.get(b"accept") or None  # an empty Accept says nothing
    if not query_string or _FORM_PARAMETER.search(query_string) is None:
        return AS_STORED if accept is None or accept in _USUAL else _accepted(accept, store)
    return wanted_by(parse_query(query_string), accept, store)


def wanted_by(pairs: Iterable[tuple[str, str]], accept: bytes | None, store: FhirStore) -> Representation:
    """As `wanted`, for parameters that are parsed already. Others among them are ignored."""
    given = each_once(pair for pair in pairs if pair[0] in FORM_PARAMETERS)
    if "_format" in given:
        form = _formatted(given["_format"], store)
    else:
        form = AS_STORED if accept is None else _accepted(accept, store)
    pretty, view = _pretty(given.get("_pretty")), View.of(given)
    if view.whole and not pretty:
        return form
    return replace(form, store=store, pretty=pretty, view=view)


def in_bundle(view: View | None, default: Representation, store: FhirStore) -> Representation:
    """Returns the form of the resources that an entry of a Bundle asks for: JSON. `view` None: as the Bundle's."""
    if view is None:
        return default
    return AS_STORED if view.whole else replace(AS_STORED, store=store, view=view)


def _accepted(accept: bytes, store: FhirStore) -> Representation:
    release = store.release
    media = negotiate(accept.decode("latin-1"), release)
    if media is None:
        raise Refused(406, f"The Accept header allows no form that this server has. {_FORMS}, FHIR {release}")
    return _in(media, store)


def _formatted(format_: str, store: FhirStore) -> Representation:
    release = store.release
    media = named(format_, release)
    if media is None:
        raise Refused(406, f"_format names a form that this server does not have. {_FORMS}, FHIR {release}")
    return _in(media, store)


def _in(media: MediaType, store: FhirStore) -> Representation:
    if media == AS_STORED.media:
        return AS_STORED
    return Representation(media, media.content_type.encode("ascii"), store)


def _pretty(text: str | None) -> bool:
    if text not in (None, "true", "false"):
        raise InvalidResource("_pretty must be true or false", code="value")
    return text == "true"
