"""One page of a search, with content, and where the pages beside it start.

https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.errors import Issue
from fhirstore.search.criteria.criterion import Query
from fhirstore.version import Version


@dataclass(frozen=True, slots=True, repr=False)
class SearchPage:
    """`matches`: in order. `included`: what comes along with them. `query`: what was asked for, used and ignored.

    `next`, `previous`: the cursors of the pages beside this one; None where there is none. `total`: of all pages; None
    where it was not asked for and is not known without counting. `outcomes`: what the client should know of the answer.
    """

    matches: tuple[Version, ...]
    included: tuple[Version, ...]
    next: str | None
    previous: str | None
    total: int | None
    query: Query
    outcomes: tuple[Issue, ...] = ()

    def __repr__(self) -> str:
        return f"<SearchPage of {len(self.matches)} matches{', more follow' if self.next else ''}>"

    @property
    def versions(self) -> tuple[Version, ...]:
        """All resources on the page."""
        return self.matches + self.included
