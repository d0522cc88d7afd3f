"""What whoever searches may find of each type.

Every type that a search touches is limited, also where a chain, `_has` or an include leads to it. So nothing that is
hidden changes what is found, its order or the total.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from fhirstore.errors import AccessDenied
from fhirstore.search.criteria.criterion import AnyOf, Chained, Criterion, Referred

Limits: TypeAlias = Callable[[str], Criterion | None]
"""Returns what a resource of the type must meet to be found; None: nothing. Raises AccessDenied for a type of which
nothing may be searched.
"""


def everything(type: str) -> Criterion | None:
    """The limits of whoever may search all."""
    del type
    return None


def may_search(limits: Limits, type: str) -> bool:
    """Returns whether resources of the type may be found."""
    try:
        limits(type)
    except AccessDenied:
        return False
    return True


def targets_to_search(limits: Limits, chain: Chained) -> list[tuple[str, Criterion]]:
    """Returns the targets of a chain that may be searched. Raises AccessDenied where none may be."""
    seen = [one for one in chain.targets if may_search(limits, one[0])]
    for one, _ in chain.targets if not seen else ():
        limits(one)  # raises
    return seen


def check_limits(limits: Limits, criterion: Criterion) -> None:
    """Raises AccessDenied where a chain, `_has` or alternatives look at a type of which nothing may be searched.

    Of a chain to several types, those that may be searched are looked at. What is stored makes no difference.
    """
    match criterion:
        case Chained():
            for _, inner in targets_to_search(limits, criterion):
                check_limits(limits, inner)
        case Referred(reference, inner):
            limits(reference.type)
            check_limits(limits, inner)
        case AnyOf(alternatives):
            for some in alternatives:
                for inner in some:
                    check_limits(limits, inner)
