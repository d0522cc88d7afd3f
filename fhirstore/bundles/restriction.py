"""What an access allows of a transaction: the same as of single interactions, for each entry.

One entry that is not allowed refuses the whole transaction. Where the answer depends on the stored version, that is
decided in the commit's decision, as for single writes (`fhirstore.access.sight`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fhirstore.access.interactions import Interaction
from fhirstore.access.sight import Sight
from fhirstore.bundles.entries import Entry
from fhirstore.bundles.plan import Planned, criteria_of
from fhirstore.bundles.results import blame
from fhirstore.commit.single import Decide
from fhirstore.errors import AccessDenied
from fhirstore.format.record import Record


@dataclass(frozen=True, slots=True)
class Restriction:
    """Restricts the entries of one transaction. `sight` None: everything is allowed."""

    sight: Sight | None = None

    def require(self, entries: Iterable[Entry]) -> None:
        """Raises AccessDenied, with its place, for the first entry whose interaction no scope allows on the type."""
        if self.sight is None:
            return
        for entry in entries:
            if entry.writes and entry.type is not None:
                try:
                    self.sight.require(_interaction(entry), entry.type)
                except AccessDenied as error:
                    raise blame(error, entry.place) from None

    def require_plans(self, planned: Iterable[Planned]) -> None:
        """Raises AccessDenied for an entry that would create under an id of the client's choice, where it may not:
        whether that id is in use is not told."""
        if self.sight is None:
            return
        for plan in planned:
            chosen = plan.criteria is not None and not plan.matched and not plan.fresh and plan.writes
            if chosen and plan.entry.interaction == "update" and self.sight.limits("u", plan.type):
                error = AccessDenied("Nothing matches, and this token may create only without an id of its own choice")
                raise blame(error, plan.entry.place)

    def decide(self, plan: Planned, decide: Decide) -> Decide:
        """Returns the decision of an entry, restricted. It raises NotFound, AccessDenied."""
        if self.sight is None:
            return decide
        if plan.entry.interaction == "create":
            return self.sight.creating(decide, plan.type)
        return self.sight.changing(_interaction(plan.entry), decide, plan.type, creates=plan.fresh)

    def is_quiet(self, plan: Planned) -> bool:
        """Whether nothing is told of a delete that had nothing to do: there may be a hidden resource."""
        deletes = plan.entry.interaction == "delete"
        return deletes and self.sight is not None and self.sight.limits("d", plan.type)

    def exists(self, type: str, record: Record | None) -> bool:
        """Whether a reference to this resource is one to a resource that is there, as far as it is seen."""
        if record is None or record.deleted:
            return False
        return self.sight is None or (self.sight.may("read", type) and self.sight.shows("r", type, record))


_CONDITIONAL: dict[str, Interaction] = {
    "create": "conditional-create",
    "update": "conditional-update",
    "patch": "conditional-patch",
    "delete": "conditional-delete",
}
_PLAIN: dict[str, Interaction] = {"create": "create", "update": "update", "patch": "patch", "delete": "delete"}


def _interaction(entry: Entry) -> Interaction:
    return (_PLAIN if criteria_of(entry) is None else _CONDITIONAL)[entry.interaction]
