"""The business identifiers of a resource, and their names in the identity index.

An index entry is named `{value}/{system}`: a hash of the value, and a hash of the system or `none`. So one entry, one
PUT, serves `identifier=system|value`, `identifier=|value` and `identifier=value`: the first two are the whole name, the
last is its first half. For `identifier=system|` there is another entry, `system/{system}`, once for all identifiers of
that system.

Values and systems are compared byte by byte: "Identifier.value is to be treated as case sensitive unless knowledge of
the Identifier.system allows the processer to be confident that non-case-sensitive processing is safe".

https://hl7.org/fhir/R4/datatypes.html#Identifier · https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

NO_SYSTEM = "none"
ANY_VALUE = "system"
_STAND_IN = b'{"~":0,'  # no resource has such a member
_TRACE = b'dentifier"'  # in the bytes of every resource with an identifier

_FURTHER: Mapping[str, str] = {
    "DocumentManifest": "masterIdentifier",
    "DocumentReference": "masterIdentifier",
    "NutritionProduct": "instance",
    "Organization": "qualification",
    "Practitioner": "qualification",
}
"""The elements that the search parameter `identifier` covers besides `identifier`: themselves, or `identifier` in
them."""
_ONLY_IN: Mapping[str, str] = {"qualification": "5.0"}
"""The only FHIR release in which it covers them."""


class Identifier(msgspec.Struct, frozen=True):
    """An identifier as in the resource; None for an absent element."""

    system: str | None = None
    value: str | None = None

    @property
    def name(self) -> str:
        """Its name in the index. Only for an identifier with a value."""
        return f"{value_hash(self.value or '')}/{system_hash(self.system)}"


class _Part(msgspec.Struct, frozen=True):
    """An `instance` or a `qualification`."""

    identifier: list[Identifier] = []


class _Carrier(msgspec.Struct, frozen=True):
    """The members of a resource that may hold identifiers, not parsed."""

    identifier: msgspec.Raw = msgspec.Raw()
    masterIdentifier: msgspec.Raw = msgspec.Raw()  # noqa: N815 - as in JSON
    instance: msgspec.Raw = msgspec.Raw()
    qualification: msgspec.Raw = msgspec.Raw()


_carrier = msgspec.json.Decoder(_Carrier).decode
_identifiers = msgspec.json.Decoder(list[Identifier] | Identifier).decode
_parts = msgspec.json.Decoder(list[_Part] | _Part).decode
_dump = msgspec.json.Encoder().encode


def value_hash(value: str) -> str:
    """Returns the first half of a name: 32 hex digits."""
    return hashlib.blake2b(_utf8(value), digest_size=16).hexdigest()


def system_hash(system: str | None) -> str:
    """Returns the second half of a name: 16 hex digits, or `none`."""
    return NO_SYSTEM if system is None else hashlib.blake2b(_utf8(system), digest_size=8).hexdigest()


def system_name(system: str) -> str:
    """Returns the name in the index for all identifiers of a system."""
    return f"{ANY_VALUE}/{system_hash(system)}"


def identifiers(type: str, resource: bytes | None, *, release: str | None = None) -> tuple[Identifier, ...]:
    """Returns the identifiers by which a search finds this resource, each once. Malformed ones are left out.

    `release`: the FHIR release, which decides which elements a search covers; None: those of all releases.
    """
    if resource is None or _TRACE not in resource:
        return ()
    try:
        carrier = _carrier(resource)
    except msgspec.MsgspecError:
        return ()
    return tuple(dict.fromkeys(_found(carrier, type, release)))


def names(type: str, resource: bytes | None) -> tuple[str, ...]:
    """Returns the names in the index of the identifiers and their systems. They are the same in all FHIR releases."""
    found = identifiers(type, resource)
    if not found:
        return ()
    values = [one.name for one in found if one.value is not None]
    systems = {one.system: None for one in found}
    return tuple(dict.fromkeys([*values, *[system_name(system) for system in systems if system is not None]]))


def new_names(type: str, resource: bytes | None, before: bytes | None) -> tuple[str, ...]:
    """Returns the names that the version before does not have."""
    carried = names(type, resource)
    if not carried or before is None:
        return carried
    known = frozenset(names(type, before))
    return tuple(name for name in carried if name not in known)


def without_the_rest(resource: bytes) -> bytes:
    """Returns a small stand-in for a resource, with the same identifiers. See `is_whole`."""
    if _TRACE not in resource:
        return b""
    try:
        carrier = _carrier(resource)
    except msgspec.MsgspecError:
        return b""
    kept = {name: raw for name in _Carrier.__struct_fields__ if (raw := getattr(carrier, name))}
    return _STAND_IN + _dump(kept)[1:]


def is_whole(resource: bytes) -> bool:
    """Returns whether this is a resource, not a stand-in for one."""
    return bool(resource) and not resource.startswith(_STAND_IN)


def _found(carrier: _Carrier, type: str, release: str | None) -> Iterator[Identifier]:
    yield from _read(carrier.identifier)
    further = _FURTHER.get(type)
    if further is None or release not in (None, _ONLY_IN.get(further, release)):
        return
    raw: msgspec.Raw = getattr(carrier, further)
    if further.endswith("dentifier"):
        yield from _read(raw)
    else:
        for part in _read_parts(raw):
            yield from part.identifier


def _read(raw: msgspec.Raw) -> list[Identifier]:
    try:
        found = _identifiers(raw) if raw else []
    except msgspec.MsgspecError:
        return []
    return found if isinstance(found, list) else [found]


def _read_parts(raw: msgspec.Raw) -> list[_Part]:
    try:
        found = _parts(raw) if raw else []
    except msgspec.MsgspecError:
        return []
    return found if isinstance(found, list) else [found]


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
