"""The resources that a transaction itself writes, to be searched by criteria like the stored ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fhirstore.bundles.plan import Planned
from fhirstore.errors import InvalidResource
from fhirstore.fhir import json
from fhirstore.format.record import Record
from fhirstore.index.names import names
from fhirstore.search.conditional.identifying import Criteria

_MOST_TESTS = 1_000_000


class Written:
    """The resources that these entries create or update, by id and by identifier. Patched ones are not among them."""

    def __init__(self, planned: Iterable[Planned]) -> None:
        self._tests = 0  # of contents, whose number must not grow with the square of the entries
        self._of_type: dict[str, list[str]] = {}
        self._by_id: dict[tuple[str, str], tuple[Planned, Record]] = {}
        self._by_name: dict[tuple[str, str], list[str]] = {}  # names in the identity index, hashes of values
        for plan in planned:
            resource = plan.entry.resource
            if plan.id is None or not plan.writes or resource is None or plan.entry.interaction == "patch":
                continue
            content = json.encode(resource)
            self._of_type.setdefault(plan.type, []).append(plan.id)
            self._by_id[plan.type, plan.id] = plan, Record(1, 0, "", plan.entry.method, content)
            carried = names(plan.type, content)
            for name in {*carried, *(name.partition("/")[0] for name in carried)}:
                self._by_name.setdefault((plan.type, name), []).append(plan.id)

    def matching(self, criteria: Criteria) -> list[Planned]:
        """Returns the entries whose resources meet the criteria. They came with the request, so that all are seen.

        What a content does not decide, such as chains and `_lastUpdated`, is left out: the entry may not meet that.
        Raises InvalidResource (too-costly).
        """
        type_ = criteria.type or ""
        named = criteria.names_in_index
        ids = {id_ for some in named for name in some for id_ in self._by_name.get((type_, name), ())}
        ids |= {id_ for some in criteria.ids for id_ in some}
        if not named and not criteria.ids:
            ids = set(self._of_type.get(type_, ()))
            self._tests += len(ids)
            if self._tests > _MOST_TESTS:
                text = "The transaction has too many resources and criteria to test for each other; send less at once"
                raise InvalidResource(text, code="too-costly")
        known = [self._by_id[type_, id_] for id_ in sorted(ids) if (type_, id_) in self._by_id]
        by_name = replace(criteria, sees=None, also=(), beyond=(), updated=())
        return [
            plan
            for plan, record in known
            if by_name.match(type_, plan.id or "", record)
            and all(meets({**(plan.entry.resource or {}), "id": plan.id}) for _, meets in criteria.also)
        ]
