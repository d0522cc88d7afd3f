"""The entries of a Bundle of type batch or transaction, each read as one request.

`Bundle.entry.request.url` is relative to the base URL, or absolute below our own base URL. An error has the place of
what is wrong, `Bundle.entry[3].request.url`; in a batch it is the response to that entry alone.

https://hl7.org/fhir/R4/http.html#transaction · https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry.request
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from fhirstore.errors import FhirError, InvalidResource, TooManyEntries, UnknownType, Unsupported
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.json import JsonObject, encode

Interaction: TypeAlias = Literal[
    "create", "update", "patch", "delete", "read", "vread", "history", "search", "operation"
]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
MAX_ENTRIES = 5_000

_NEEDS_RESOURCE = frozenset({"POST", "PUT", "PATCH"})
_CONDITIONS = ("ifMatch", "ifNoneMatch", "ifNoneExist", "ifModifiedSince")
_REQUEST = frozenset({"method", "url", "id", "extension", "modifierExtension", *_CONDITIONS})
_OF_THE_ANSWER = frozenset({"_format", "_pretty", "_summary", "_elements"})
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """One request. `index`: of the entry in the Bundle.

    `type`, `id`, `version`: of the URL, None where it has none. `criteria`: the query of the URL, without the question
    mark; an update, patch or delete with criteria is conditional. `if_match` and its kin are as the client wrote them.
    `path`: of a search or an `operation`: `Patient/$validate`, `metadata`, `Patient/_search`.
    """

    index: int
    method: str
    interaction: Interaction
    type: str | None
    id: str | None = None
    version: int | None = None
    criteria: str | None = None
    resource: JsonObject | None = None
    full_url: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_none_exist: str | None = None
    if_modified_since: str | None = None
    path: str = ""

    def __repr__(self) -> str:
        address = "/".join(part for part in (self.type, self.id) if part)
        return f"<Entry {self.index}: {self.interaction}{f' {address}' if address else ''}>"

    @property
    def writes(self) -> bool:
        return self.interaction in ("create", "update", "patch", "delete")

    @property
    def brings(self) -> bool:
        """Whether its result may be larger than its request: that of a read, and of a write that builds on what is
        stored."""
        return not self.writes or self.interaction == "patch" or self.if_none_exist is not None

    @property
    def body(self) -> bytes:
        """The entry's resource as JSON; empty without one."""
        return b"" if self.resource is None else encode(self.resource)

    @property
    def place(self) -> str:
        """The FHIRPath expression of the entry."""
        return f"Bundle.entry[{self.index}]"

    def at(self, member: str) -> tuple[str, ...]:
        """Returns the FHIRPath expression of a member of its request."""
        return (f"{self.place}.request.{member}",)


def entries_of(bundle: Mapping[str, object], *, kinds: Sequence[str], limit: int = MAX_ENTRIES) -> list[object]:
    """Returns `Bundle.entry`, unread. The Bundle's type must be one of `kinds`. Raises InvalidResource,
    TooManyEntries."""
    if bundle.get("resourceType") != "Bundle":
        raise InvalidResource("Not a Bundle", code="invalid", expression=("resourceType",))
    kind = bundle.get("type")
    if kind not in kinds:
        known = " or ".join(kinds)
        raise InvalidResource(f"Bundle.type must be {known} here", code="value", expression=("Bundle.type",))
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InvalidResource("Bundle.entry is not an array", code="structure", expression=("Bundle.entry",))
    if len(entries) > limit:
        raise TooManyEntries(
            f"The Bundle has {len(entries):,} entries; the limit is {limit:,} (FHIRSTORE_MAX_BUNDLE_ENTRIES)",
            expression=("Bundle.entry",),
        )
    return entries


def parse_entries(
    entries: Sequence[object], *, types: Container[str], base_url: str | None = None
) -> list[Entry | FhirError]:
    """Returns each entry as a request, or the error in it. `base_url`: our own, without a slash at the end. `types`:
    the resource types of the release."""
    parsed: list[Entry | FhirError] = []
    for index, value in enumerate(entries):
        try:
            parsed.append(_entry(index, value, base_url, types))
        except FhirError as error:
            parsed.append(error)
    return parsed


def _entry(index: int, value: object, base_url: str | None, types: Container[str]) -> Entry:
    place = f"Bundle.entry[{index}]"
    if not isinstance(value, dict):
        raise InvalidResource("The entry is not an object", code="structure", expression=(place,))
    request = value.get("request")
    if not isinstance(request, dict):
        raise InvalidResource("The entry has no request", code="required", expression=(f"{place}.request",))
    _refuse_unknown(request, f"{place}.request")
    method = request.get("method")
    if method not in METHODS:
        known = ", ".join(METHODS)
        code = "required" if method is None else "value"
        raise InvalidResource(
            f"request.method must be one of {known}", code=code, expression=(f"{place}.request.method",)
        )
    conditions = {name: _text(request.get(name), f"{place}.request.{name}") for name in _CONDITIONS}
    url = _text(request.get("url"), f"{place}.request.url")
    if url is None:
        raise InvalidResource("The entry has no request.url", code="required", expression=(f"{place}.request.url",))
    if conditions["ifNoneExist"] is not None and method != "POST":
        where = (f"{place}.request.ifNoneExist",)
        raise InvalidResource(f"ifNoneExist is for POST, not for {method}", code="value", expression=where)
    resource = value.get("resource")
    if resource is not None and not isinstance(resource, dict):
        raise InvalidResource("The resource is not an object", code="structure", expression=(f"{place}.resource",))
    below = _relative(url, base_url)
    interaction, type_, id_, version, criteria = _address(str(method), below, place, types)
    if method in _NEEDS_RESOURCE and resource is None and interaction != "operation":
        raise InvalidResource(f"A {method} needs a resource", code="required", expression=(f"{place}.resource",))
    if_none_exist = (conditions["ifNoneExist"] or "").removeprefix("?") or None
    if interaction == "create" and criteria is not None:
        if if_none_exist is not None:
            where = (f"{place}.request.ifNoneExist",)
            raise InvalidResource(
                "ifNoneExist and criteria in the URL: have one of them", code="value", expression=where
            )
        if_none_exist, criteria = criteria, None
    return Entry(
        index=index,
        method=str(method),
        interaction=interaction,
        type=type_,
        id=id_,
        version=version,
        criteria=criteria,
        resource=resource if method in _NEEDS_RESOURCE else None,
        full_url=_text(value.get("fullUrl"), f"{place}.fullUrl"),
        if_match=conditions["ifMatch"],
        if_none_match=conditions["ifNoneMatch"],
        if_none_exist=if_none_exist,
        if_modified_since=conditions["ifModifiedSince"],
        path=below.partition("?")[0] if interaction in ("operation", "search") else "",
    )


def _relative(url: str, base_url: str | None) -> str:
    """Returns the URL relative to the base, without a slash at its start."""
    if base_url is not None:
        for base in (base_url, urlsplit(base_url).path):
            rest = url.removeprefix(base)
            if base and rest != url and (not rest or rest[0] in "/?"):
                url = rest
                break
    return url.removeprefix("/")


_Address: TypeAlias = tuple[Interaction, str | None, str | None, int | None, str | None]


def _address(method: str, url: str, place: str, types: Container[str]) -> _Address:
    """Returns the interaction of `method` on `url`. Raises InvalidResource, UnknownType, Unsupported."""
    where = (f"{place}.request.url",)
    path, question, query = url.partition("?")
    criteria = query if question else None
    segments = path.split("/") if path else []
    if "://" in path or path.startswith("urn:"):
        raise InvalidResource(
            "request.url must be relative to the base of this server, like 'Patient/1'", code="value", expression=where
        )
    if not segments and method == "POST":
        raise Unsupported(
            "A batch or transaction cannot be an entry of another one; send it on its own", expression=where
        )
    reading = method in ("GET", "HEAD")
    if segments == ["metadata"] or segments[-1:] == ["_search"] or any(one.startswith("$") for one in segments):
        return "operation", *_about(segments, types), None, criteria
    type_ = segments[0] if segments and segments[0] != "_history" else None
    if type_ is not None and type_ not in types:
        raise UnknownType(
            "request.url names no FHIR resource type; type names are case-sensitive, like 'Patient'", expression=where
        )
    id_ = segments[1] if len(segments) > 1 and type_ and segments[1] != "_history" else None
    if id_ is not None and not is_id(id_):
        raise InvalidResource("request.url has a malformed id", code="value", expression=where)
    rest = segments[(type_ is not None) + (id_ is not None) :]
    if reading and (found := _reading(type_, id_, rest, criteria)):
        return found
    if not reading and not rest and type_ is not None and (found := _writing(method, type_, id_, criteria)):
        return found
    raise InvalidResource(f"{method} is not possible on this request.url", code="value", expression=where)


def _about(segments: list[str], types: Container[str]) -> tuple[str | None, str | None]:
    """Returns the type and id in the path of an operation, as far as it has them."""
    type_ = segments[0] if segments[0] in types else None
    return type_, segments[1] if type_ is not None and len(segments) == 3 and is_id(segments[1]) else None


def _reading(type_: str | None, id_: str | None, rest: list[str], criteria: str | None) -> _Address | None:
    if not rest:
        return ("search", type_, None, None, criteria or "") if id_ is None else ("read", type_, id_, None, criteria)
    if len(rest) == 1 and id_ is not None and rest[0] != "_history":
        return "search", type_, None, None, criteria or ""  # of a compartment
    if rest == ["_history"]:
        return "history", type_, id_, None, criteria
    if len(rest) == 2 and rest[0] == "_history" and id_ is not None and _VERSION.fullmatch(rest[1]):
        return "vread", type_, id_, int(rest[1]), criteria
    return None


def _writing(method: str, type_: str, id_: str | None, query: str | None) -> _Address | None:
    """Returns the interaction of a write. Its query are criteria; parameters about the form of the response are left
    out."""
    criteria = query or ""
    if "_" in criteria:
        parts = criteria.split("&")
        criteria = "&".join(part for part in parts if part and part.partition("=")[0] not in _OF_THE_ANSWER)
    if method == "POST":
        return ("create", type_, None, None, criteria or None) if id_ is None else None
    names: dict[str, Interaction] = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    if id_ is not None:
        return None if criteria else (names[method], type_, id_, None, None)
    return (names[method], type_, None, None, criteria) if criteria else None


def _refuse_unknown(request: Mapping[str, object], place: str) -> None:
    """Raises InvalidResource for an unknown member: a misspelt precondition must not be ignored."""
    for name in request:
        if name.removeprefix("_") not in _REQUEST:
            raise InvalidResource(f"{name} is not an element of a request", code="structure", expression=(place,))


def _text(value: object, place: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise InvalidResource("Must be a string", code="structure", expression=(place,))
    return value
