"""The rows of many resources, fast: what equal members of resources come to is computed once.

A parameter looks at few members of a resource (`Group.members`), and most members are the same in many resources:
codes, categories, statuses, the subject of all that is known of a patient. So a resource is decoded only into its
members, each as it was written; the rows of a *section*, the parameters that look at the same members, are remembered
under the bytes of these. What is not remembered is decoded and read as `rows_of_groups` does.

Where the bytes of the members do not tell all, the whole resource is read: a reference to what is contained, a URL that
is found with the version of its resource. Large resources are read whole, too, so that their limits hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from fhirstore.fhir import json
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.index.local.catalogue import Catalogue, Group, Indexed, looks_into
from fhirstore.index.local.hashing import Hash
from fhirstore.index.local.pairs import Pieces
from fhirstore.index.local.rows import Rows, rows_of, rows_of_groups

_MOST_FAST = 65_536  # bytes of a resource that is read by sections
_MOST_BYTES = 1_024  # of the members that rows are remembered under
_MOST_OF_SECTION, _MOST = 128, 3_000  # parts that are remembered: about 2.5 KB each
_POOR = 2  # times that what is remembered is to be used again, on average; otherwise …
_REST = 8  # … nothing is remembered until a section was filled this often
_MOST_PLANS = 500  # of one type
_WRITTEN_BY_SERVERS = ("versionId", "lastUpdated")  # in `meta`, different in each version

_Members: TypeAlias = dict[str, msgspec.Raw]
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder(float_hook=NumberLiteral).decode


Held: TypeAlias = tuple[int, tuple[int, ...], int, bytes, tuple[int, ...], tuple[int, ...]]
"""Of tokens the first number of a parameter, the differences of the following ones, the last number; codes, systems;
uris.
"""


@dataclass(slots=True, eq=False)
class Part:
    """Rows of a resource; those of one parameter are all in one part. Resources share it: nobody changes it.

    `numbered`: the rows as tables have them; None until a writer has numbered them. `held`: what resources remember of
    them. `pieces`: what they give to pairs.
    """

    rows: Rows
    numbered: Mapping[str, list[tuple[object, ...]]] | None = None
    held: Held | None = None
    pieces: Pieces | None = None
    by: object = None
    """The numbers that `numbered` was made with."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """All rows of a resource. `cut`: it has more than are indexed."""

    parts: tuple[Part, ...] | list[Part] = ()
    cut: bool = False


@dataclass(slots=True, eq=False)
class _Section:
    """Parameters that look at the same members of a resource. `trimmed`: not at what servers write into `meta`."""

    members: tuple[str, ...]
    groups: tuple[Group, ...]
    always: bool
    trimmed: bool
    versioned: bool
    known: dict[bytes, Part] = field(default_factory=dict)
    used: int = 0
    rest: int = 0


@dataclass(frozen=True, slots=True)
class _Step:
    """A section in resources with certain members. `names`: those that it looks at and that are there. `groups`: those
    that may have values. `frame`: makes the bytes that the rows are remembered under of the members; None: they are
    those of the only one.
    """

    section: _Section
    names: tuple[str, ...]
    groups: tuple[Group, ...]
    frame: bytes | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is done with resources that have certain members. `apart`: what is read of the whole resource."""

    steps: tuple[_Step, ...]
    apart: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class _Type:
    """The sections of a type; what may look at any member; and plans by the members of a resource."""

    sections: tuple[_Section, ...]
    whole: tuple[Group, ...]
    plans: dict[tuple[str, ...], _Plan] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Extractor:
    """Made for one index file: `hashed` is its own. May be used by several threads."""

    catalogue: Catalogue
    hashed: Hash
    _types: dict[str, _Type] = field(default_factory=dict)
    remembered: int = 0

    def extract(self, type: str, resource: bytes | JsonObject) -> Extracted:
        """Returns the rows of a resource of this type, parsed or as it is stored. Raises MalformedContent."""
        if isinstance(resource, dict):
            return _of(rows_of(self.catalogue, self.hashed, type, resource))
        if len(resource) > _MOST_FAST:
            return _of(rows_of(self.catalogue, self.hashed, type, json.parse(resource, max_values=None)))
        try:
            return self._by_sections(type, resource)
        except msgspec.MsgspecError:  # a number of thousands of digits, or no object
            return _of(rows_of(self.catalogue, self.hashed, type, json.parse(resource, max_values=None)))

    def _by_sections(self, type: str, resource: bytes) -> Extracted:
        of_type = self._types.get(type) or self._plan(type)
        members = _members(resource)
        names = tuple(members)
        plan = of_type.plans.get(names) or self._plan_of(of_type, names)
        local = b'"#' in resource or b"\\u0023" in resource
        parts: list[Part] = []
        cut = False
        decoded: JsonObject = {}
        apart: list[Group] = []
        for step in plan.steps:
            section = step.section
            if step.frame is None:
                key = bytes(members[step.names[0]])
            else:
                key = step.frame % tuple([bytes(members[name]) for name in step.names])
            if local and _looks_around(key):
                apart += section.groups
                continue
            if section.trimmed:
                key = _trimmed(key)
            part = section.known.get(key)
            if part is None:
                part = self._read(step, key, members, decoded)
            else:
                section.used += 1
            parts.append(part)
            cut = cut or part.rows.cut
        if apart or plan.apart:
            whole: JsonObject = {name: _value(raw) for name, raw in members.items()}
            rows = rows_of_groups(self.catalogue, self.hashed, (*plan.apart, *apart), whole)
            parts.append(Part(rows))
            cut = cut or rows.cut
        return Extracted(parts, cut)

    def _read(self, step: _Step, key: bytes, members: _Members, decoded: JsonObject) -> Part:
        """Reads the members of a section, and remembers what they come to if that is likely to be of use. `decoded`:
        the members that are decoded already.
        """
        section = step.section
        some: JsonObject = {}
        for name in step.names:
            if name not in decoded:
                decoded[name] = _value(members[name])
            some[name] = decoded[name]
        part = Part(rows_of_groups(self.catalogue, self.hashed, step.groups, some))
        if section.rest:
            section.rest -= 1
        elif len(key) <= _MOST_BYTES:
            if len(section.known) >= _MOST_OF_SECTION:
                section.rest = _MOST_OF_SECTION * _REST if section.used < _MOST_OF_SECTION * _POOR else 0
                self.remembered -= len(section.known)
                section.known, section.used = {}, 0
            if self.remembered >= _MOST:
                self._forget()
            part.rows.compact()
            section.known[key] = part
            self.remembered += 1
        return part

    def _forget(self) -> None:
        for of_type in self._types.values():
            for section in of_type.sections:
                section.known, section.used = {}, 0
        self.remembered = 0

    def _plan(self, type: str) -> _Type:
        by_members: dict[tuple[str, ...], list[Group]] = {}
        whole: list[Group] = []
        for group in self.catalogue.groups(type):
            if group.members is None:
                whole.append(group)
            else:
                by_members.setdefault(tuple(sorted(group.members)), []).append(group)
        sections = tuple([_section(members, groups) for members, groups in by_members.items()])
        made = self._types[type] = _Type(sections, tuple(whole))
        return made

    def _plan_of(self, of_type: _Type, names: tuple[str, ...]) -> _Plan:
        steps: list[_Step] = []
        apart: list[Group] = list(of_type.whole)
        for section in of_type.sections:
            there = tuple([name for name in section.members if name in names])
            if not there and not section.always:
                continue
            if "version" in names and section.versioned:
                apart += section.groups
            else:
                groups = [one for one in section.groups if one.always or not (one.members or set()).isdisjoint(there)]
                steps.append(_Step(section, there, tuple(groups), _frame(section.members, there)))
        if len(of_type.plans) >= _MOST_PLANS:
            of_type.plans.clear()
        plan = of_type.plans[names] = _Plan(tuple(steps), tuple(apart))
        return plan


def _frame(members: tuple[str, ...], there: tuple[str, ...]) -> bytes | None:
    """JSON has no byte 0."""
    return None if len(members) == 1 and there else b"\0".join([b"%b" if name in there else b"" for name in members])


def _section(members: tuple[str, ...], groups: list[Group]) -> _Section:
    trimmed = members == ("meta",) and not any(looks_into(group, "meta", _WRITTEN_BY_SERVERS) for group in groups)
    versioned = any("uri" in _kinds(one) for group in groups for one in group.parameters)
    return _Section(members, tuple(groups), any(group.always for group in groups), trimmed, versioned)


def _kinds(indexed: Indexed) -> set[str]:
    return {indexed.kind, *(part.kind for side in indexed.sides for part in side.parts)}


def _of(rows: Rows) -> Extracted:
    return Extracted((Part(rows),), rows.cut)


def _looks_around(written: bytes) -> bool:
    """Returns whether there may be a reference to what is contained."""
    return b'"#' in written or b"\\u0023" in written


def _trimmed(meta: bytes) -> bytes:
    """Returns the bytes of `meta` without what servers write."""
    if not meta.startswith(b"{"):
        return meta
    members = _members(meta)
    for name in _WRITTEN_BY_SERVERS:
        members.pop(name, None)
    return b",".join([b"%b:%b" % (name.encode(), raw) for name, raw in members.items()]) if members else b""
