"""What is to be exported: one kick-off request, as a GET or as a POST of Parameters.

https://hl7.org/fhir/uv/bulkdata/export.html#bulk-data-kick-off-request. Version 3.0 of the guide asks servers for GET
and lets values be separated by commas; 4.0 knows POST alone, and each value is a parameter of its own, which 3.0
accepts too.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias
from urllib.parse import quote

import msgspec

from server.commands.urls import fhir_base

Level: TypeAlias = Literal["system", "patient", "group"]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")
_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_LONGEST_QUERY = 6000  # characters; servers and proxies take 8 KB of a request line


class CannotExport(Exception):
    """The export cannot start; nothing was asked for and nothing was written."""


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One export of the FHIR server at `base`. Two commands with equal orders mean the same export.

    `level` "group" exports the compartments of the members of `group`, "patient" those of all patients. `since` and
    `until`: instants. `partial`: the server may list files before all are there. `tenant`: sent as X-Tenant-ID.
    """

    base: str
    level: Level = "system"
    group: str | None = None
    types: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    type_filters: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    partial: bool = False
    lenient: bool = False
    tenant: str | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the operation, without parameters."""
        place = {"system": "", "patient": "Patient/", "group": f"Group/{self.group}/"}[self.level]
        return f"{self.base}/{place}$export"

    @property
    def url(self) -> str:
        """The URL of a kick-off by GET."""
        query = "&".join(f"{name}={quote(value, safe='/:,')}" for name, value in self._values(joined=True))
        return f"{self.endpoint}?{query}" if query else self.endpoint

    @property
    def fits_in_url(self) -> bool:
        """Whether a GET is short enough for servers and what is before them."""
        return len(self.url) - len(self.endpoint) <= _LONGEST_QUERY

    @property
    def parameters(self) -> bytes:
        """The body of a kick-off by POST: a Parameters resource."""
        kinds = {"_since": "valueInstant", "_until": "valueInstant", "allowPartialManifests": "valueBoolean"}
        values = [
            {"name": name, kinds.get(name, "valueString"): True if name == "allowPartialManifests" else value}
            for name, value in self._values(joined=False)
        ]
        return msgspec.json.encode({"resourceType": "Parameters", "parameter": values})

    def _values(self, *, joined: bool) -> list[tuple[str, str]]:
        """The parameters in their order; `joined`: values that may be separated by commas are."""
        values: list[tuple[str, str]] = []
        for name, several in (("_type", self.types), ("_elements", self.elements)):
            values += [(name, each) for each in ([",".join(several)] if joined and several else several)]
        values += [("_since", self.since)] if self.since else []
        values += [("_until", self.until)] if self.until else []
        values += [("_typeFilter", each) for each in self.type_filters]
        values += [("allowPartialManifests", "true")] if self.partial else []
        return values


def check(order: Order) -> Order:
    """Returns the order with its base and lists put in one form. Raises CannotExport where a value cannot be meant."""
    base = fhir_base(order.base)
    if base is None:
        raise CannotExport(f"{order.base}: not a FHIR base URL, such as http://127.0.0.1:8000/fhir")
    if order.level == "group" and not _ID.fullmatch(order.group or ""):
        raise CannotExport("--group: must be the id of a Group")
    types, elements = _separated(order.types), _separated(order.elements)
    for each in types:
        if not _TYPE.fullmatch(each):
            raise CannotExport(f"--type {each}: not the name of a resource type")
    for name, instant in (("--since", order.since), ("--until", order.until)):
        if instant is not None:
            check_instant(instant, name)
    for each in order.type_filters:
        if not _TYPE.fullmatch(each.partition("?")[0]) or not each.partition("?")[2]:
            raise CannotExport(f"--type-filter {each}: must be a search, such as Observation?status=final")
    if order.tenant is not None and not (order.tenant.isascii() and order.tenant.isprintable()):
        raise CannotExport("--tenant: must be printable ASCII, as the value of a header")
    return msgspec.structs.replace(order, base=base, types=types, elements=elements)


def check_instant(text: str, where: str) -> str:
    """Returns a FHIR instant: date, time and time zone. Raises CannotExport, which says `where` it was."""
    if not _INSTANT.fullmatch(text):
        raise CannotExport(f"{where}: must be an instant with a time zone, such as 2026-11-28T06:00:00Z")
    return text


def is_instant(text: str) -> bool:
    """Whether it is a FHIR instant."""
    return _INSTANT.fullmatch(text) is not None


def _separated(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values given one by one, or with commas between them."""
    return tuple(dict.fromkeys(part.strip() for value in values for part in value.split(",") if part.strip()))
