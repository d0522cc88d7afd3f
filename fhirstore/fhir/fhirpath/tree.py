"""The syntax tree of a FHIRPath expression, as plain values.

https://hl7.org/fhirpath/N1/#expressions
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    """`'text'`, `true`, `@2020-01`, `1.50`, `4 'mg'`. `kind`: string, boolean, date (also with a time), number,
    quantity, empty (`{}`).

    `text` is the value: a string without quotes and escapes, a date without `@`, a number or quantity as it was
    written.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Variable:
    """`$this`, `$index`, `%resource`; `name` includes the sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """`of.name`; `of` None: of the focus. Names of types are written like this too: `Patient` or `FHIR.Patient`."""

    of: Node | None
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """`of[index]`."""

    of: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Call:
    """`of.name(arguments)`; `of` None: of the focus."""

    of: Node | None
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """`left operator right`. The right side of `is` and `as` is a type; a sign has `Literal("empty")` on its left."""

    operator: str
    left: Node
    right: Node


Node: TypeAlias = Literal | Variable | Member | Item | Call | Operation
