"""What a search asks for: criteria, order, size and what is to come along.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fhirstore.fhir.times import Period
from fhirstore.index.local.catalogue import Indexed, Side
from fhirstore.search.criteria.query import shown

DEFAULT_COUNT, MOST_COUNT = 50, 1_000


@dataclass(frozen=True, slots=True, repr=False)
class ByValue:
    """A parameter has any of the values. `texts`: still escaped. `modifier`: empty, one of the table, or a type."""

    indexed: Indexed
    modifier: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """A parameter has no value (`wanted`), or has one."""

    indexed: Indexed
    wanted: bool


@dataclass(frozen=True, slots=True, repr=False)
class ById:
    """The resource has one of these ids."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class ByTime:
    """The resource was last updated in one of these periods."""

    periods: tuple[Period, ...]


@dataclass(frozen=True, slots=True, repr=False)
class InCompartment:
    """The resource is in the compartment `type/id`: it is that resource itself, or refers to it by one of the
    parameters that the compartment is defined by.
    """

    type: str
    id: str


@dataclass(frozen=True, slots=True, repr=False)
class Chained:
    """A reference leads to a resource of one of these types that meets its criterion."""

    reference: Indexed
    targets: tuple[tuple[str, Criterion], ...]


@dataclass(frozen=True, slots=True, repr=False)
class Referred:
    """`_has`: a resource refers to this one by `reference`, and meets the criterion."""

    reference: Indexed
    criterion: Criterion


@dataclass(frozen=True, slots=True, repr=False)
class InElement:
    """One element of a composite's branch has all values of one of the texts. `texts`: the components' values each,
    still escaped.
    """

    composite: Indexed
    side: Side
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, repr=False)
class AnyOf:
    """All criteria of one of these alternatives are met. None of no alternatives is; one without criteria always is."""

    alternatives: tuple[tuple[Criterion, ...], ...]


Criterion: TypeAlias = ByValue | Missing | ById | ByTime | InCompartment | InElement | Chained | Referred | AnyOf
OF_ANY_TYPE = (ById, ByTime, InCompartment)
"""The criteria that resources of any type can meet."""


@dataclass(frozen=True, slots=True)
class SortKey:
    """`code`: of a parameter. `descending`: the greatest first."""

    code: str
    descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """`_include`, or `_revinclude` if `reverse`: along `code` of `type` (`*`: any), to (or of) resources of `target`.

    `iterate`: also from what was included.
    """

    type: str
    code: str
    target: str
    reverse: bool
    iterate: bool


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """A search. `branches`: the types that are searched, each with its criteria; their results are one.

    `count`: matches per page, 0 for the total alone. `total`: none, estimate or accurate. `answer`: the parameters that
    are about the form of the answer. `used`, `ignored`: all others, as given. `everywhere`: no types are named.
    `place`: the path below the base that was searched, if it is not that of a type or of all. `members`: by type, what
    a member of that compartment meets; what comes along is outside of it. `newest`: so many of each code, the newest
    first (`$lastn`). `weight`: how many criteria and values there are, of all types, other than ids and times.
    """

    branches: tuple[tuple[str, tuple[Criterion, ...]], ...]
    sort: tuple[SortKey, ...] = ()
    count: int = DEFAULT_COUNT
    total: str = ""
    includes: tuple[Include, ...] = ()
    answer: tuple[tuple[str, str], ...] = ()
    used: tuple[tuple[str, str], ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()
    everywhere: bool = False
    place: str = ""
    members: Mapping[str, Criterion] = field(default_factory=dict)
    newest: int = 0
    weight: int = 0

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(shown(name) for name, _ in self.used))
        return f"<Query of {', '.join(type for type, _ in self.branches[:3])}: {names or 'no criteria'}>"
