"""Reads the definitions of a FHIR release from the package's data files, once per process.

A file (`data/r4.json.gz` …) is gzipped JSON, written by `fhirstore/fhir/definitions/generate`:

- `version`: "4.0.1"
- `primitives`: name -> [its JSON type, pattern]
- `types`: name -> [kind, base, abstract, own elements, own invariants]
- an element: [name, types, cardinality, flags, URL of the value set of a required binding]; empty items at the end are
  left off. Types are separated by blanks, targets follow in parentheses: `value[x]`, `dateTime
  Reference(Group,Patient)`. Flags: s summary, m modifier, a XML attribute.
- an invariant: [key, severity, human, expression]
- `value_sets`: URL -> code system -> codes
- `search_parameters`: [code, type, bases, end of the URL, expression, targets, components …]; a component is the end of
  the URL of its parameter, a blank, and its expression
- `compartments`: compartment -> resource type -> codes of parameters
- `operations`: code -> resource type -> letters: s system, t type, i instance, p POST only

Types and parameters are built when they are first used, so that reading a release takes milliseconds.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from fhirstore.fhir.definitions.facts import (
    Component,
    Definitions,
    Element,
    Invariant,
    Operation,
    Primitive,
    SearchParameter,
    Type,
)

RELEASES: Mapping[str, str] = {"4.0": "4.0.1", "4.3": "4.3.0", "5.0": "5.0.0"}
FILES: Mapping[str, str] = {"4.0": "r4.json.gz", "4.3": "r4b.json.gz", "5.0": "r5.json.gz"}
DATA = Path(__file__).parent / "data"

_PARAMETER = "http://hl7.org/fhir/SearchParameter/"
_T = TypeVar("_T")
_TypeRow = tuple[str, str, bool, list[list[str]], list[tuple[str, str, str, str]]]


class _File(msgspec.Struct, frozen=True):
    version: str
    primitives: dict[str, tuple[str, str]]
    types: dict[str, _TypeRow]
    value_sets: dict[str, dict[str, list[str]]]
    search_parameters: list[list[str]]
    compartments: dict[str, dict[str, tuple[str, ...]]]
    operations: dict[str, dict[str, str]]


class Lazy(Mapping[str, _T], Generic[_T]):
    """A mapping whose values are built when they are first read."""

    __slots__ = ("_made", "_make", "_names")

    def __init__(self, names: Mapping[str, object], make: Callable[[str], _T]) -> None:
        self._names = names
        self._make = make
        self._made: dict[str, _T] = {}

    def __getitem__(self, name: str) -> _T:
        try:
            return self._made[name]
        except KeyError:
            if name not in self._names:
                raise
        made = self._made[name] = self._make(name)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@lru_cache(maxsize=len(RELEASES))
def definitions(release: str = "4.0") -> Definitions:
    """Returns the definitions of a release: "4.0", "4.3" or "5.0". Raises ValueError for any other."""
    if release not in RELEASES:
        raise ValueError(f"FHIR {release} is not known; use one of {', '.join(RELEASES)}")
    file = msgspec.json.decode(gzip.decompress((DATA / FILES[release]).read_bytes()), type=_File)
    value_sets = Lazy(file.value_sets, lambda url: _value_set(file, url))
    codes = Lazy(file.value_sets, lambda url: frozenset().union(*value_sets[url].values()))
    types: Lazy[Type] = Lazy(file.types, lambda name: _type(file, name, types, codes))
    by_base: dict[str, list[SearchParameter]] = {}
    for row in file.search_parameters:
        parameter = _parameter(row)
        for base in parameter.base:
            by_base.setdefault(base, []).append(parameter)
    resources = frozenset(name for name, row in file.types.items() if row[0] == "resource" and not row[2])
    return Definitions(
        release=release,
        version=file.version,
        types=types,
        primitives={name: Primitive(name, *row) for name, row in file.primitives.items()},
        resources=resources,
        search_parameters=Lazy(dict.fromkeys(sorted(resources)), lambda name: _parameters(file, name, by_base)),
        compartments=file.compartments,
        value_sets=value_sets,
        operations=Lazy(file.operations, lambda code: _operations(file, code)),
    )


def _type(file: _File, name: str, types: Mapping[str, Type], codes: Mapping[str, frozenset[str]]) -> Type:
    kind, base, abstract, rows, invariants = file.types[name]
    elements = dict(types[base].elements) if base in file.types else {}
    for row in rows:
        elements.update((element.name, element) for element in _elements(row, codes))
    return Type(name, kind, base, abstract, elements, tuple(Invariant(*row) for row in invariants))


def _elements(row: list[str], codes: Mapping[str, frozenset[str]]) -> Iterator[Element]:
    """Yields one element, or for a choice one for each type."""
    name, types, cardinality, flags, binding = row + [""] * (5 - len(row))
    low, _, high = cardinality.partition("..")
    choice = name.removesuffix("[x]") if name.endswith("[x]") else ""
    for type in types.split(" "):
        code, _, targets = type.removesuffix(")").partition("(")
        yield Element(
            name=choice + code[0].upper() + code[1:] if choice else name,
            type=code,
            min=int(low),
            max=None if high == "*" else int(high),
            repeats=high != "1",
            choice=choice,
            targets=tuple(targets.split(",")) if targets else (),
            codes=codes.get(binding) if code == "code" else None,
            summary="s" in flags,
            modifier="m" in flags,
            attribute="a" in flags,
            binding=binding,
        )


def _value_set(file: _File, url: str) -> Mapping[str, frozenset[str]]:
    return {system: frozenset(codes) for system, codes in file.value_sets[url].items()}


def _operations(file: _File, code: str) -> tuple[Operation, ...]:
    return tuple(
        Operation(code, type, *("s" in letters, "t" in letters, "i" in letters, "p" in letters))
        for type, letters in file.operations[code].items()
    )


def _parameter(row: list[str]) -> SearchParameter:
    code, type, bases, end, expression, targets, *components = row + [""] * (6 - len(row))
    parts = (component.partition(" ") for component in components)
    return SearchParameter(
        code,
        f"{_PARAMETER}{end}",
        type,
        tuple(bases.split(" ")),
        expression,
        tuple(targets.split()),
        tuple(Component(f"{_PARAMETER}{of}", expression) for of, _, expression in parts),
    )


def _parameters(file: _File, name: str, by_base: Mapping[str, list[SearchParameter]]) -> Mapping[str, SearchParameter]:
    """Returns the parameters of the type and its bases; a type's own parameter replaces an inherited one of the same
    code.
    """
    bases: list[str] = []
    while name in file.types:
        bases.append(name)
        name = file.types[name][1]
    found = {each.code: each for base in reversed(bases) for each in by_base.get(base, ())}
    return dict(sorted(found.items()))
