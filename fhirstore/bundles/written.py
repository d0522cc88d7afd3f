"""What a transaction itself writes, to be searched by criteria like what is stored."""

from __future__ import annotations

from collections.abc import Iterable

from fhirstore import json
from fhirstore.bundles.plan import Planned
from fhirstore.identifiers import identifiers, value_hash
from fhirstore.record import Record
from fhirstore.search.criteria import Criteria


class Written:
    """The resources that these entries make, by id and by identifier. One that is patched counts as unknown."""

    def __init__(self, planned: Iterable[Planned]) -> None:
        self._by_id: dict[tuple[str, str], tuple[Planned, Record]] = {}
        self._by_value: dict[tuple[str, str], list[str]] = {}
        for plan in planned:
            resource = plan.entry.resource
            if plan.id is None or not plan.writes or resource is None or plan.entry.interaction == "patch":
                continue
            content = json.encode(resource)
            self._by_id[plan.type, plan.id] = plan, Record(1, 0, "", plan.entry.method, content)
            for value in {one.value for one in identifiers(plan.type, content) if one.value is not None}:
                self._by_value.setdefault((plan.type, value_hash(value)), []).append(plan.id)

    def matching(self, criteria: Criteria) -> list[Planned]:
        """Those that meet the criteria."""
        type_ = criteria.type or ""
        ids = {id_ for value in criteria.values for id_ in self._by_value.get((type_, value), ())}
        ids |= {id_ for some in criteria.ids for id_ in some}
        known = [self._by_id[type_, id_] for id_ in sorted(ids) if (type_, id_) in self._by_id]
        return [plan for plan, record in known if criteria.match(type_, plan.id or "", record)]
