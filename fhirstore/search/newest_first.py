"""Search without an index: resources in the order of their last change, newest first.

It walks the history of the type (or of all types), one LIST for many events, and returns each resource at one event:
that of the version that was current when the search began. A resource that was changed since is returned at that event
too, as it is now. So pages neither repeat nor lose a resource, whatever is written between them; only a write that was
under way when the search began may be returned twice, or not yet.

Cost: 1 GET per resource read; 2 more where it was changed again since the search began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fhirstore.commit.attempt import Base
from fhirstore.commit.messages import Protocol
from fhirstore.commit.reading import look
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import InvalidResource
from fhirstore.format.keyspace import Event, Keyspace, ResourceKeys, parse_event
from fhirstore.history.bracket import time_of
from fhirstore.history.records import Budget, records_at
from fhirstore.search.criteria import Criteria
from fhirstore.version import Version, version_of


@dataclass(slots=True)
class NewestFirst:
    """Reads the resources of the events of one page.

    `began`: when the search began, epoch ms; on its `first` page not before the page's newest event. `names`: the
    events of the matches so far. `looked`: how many events were read, `last` the last of them.
    """

    keys: Keyspace
    prefix: str  # of the history whose event names these are
    criteria: Criteria
    began: int
    first: bool
    names: list[str] = field(default_factory=list)
    looked: int = 0
    last: str = ""

    def versions(self, names: Sequence[str], budget: Budget) -> Protocol[tuple[list[Version], int]]:
        """Returns the matches among the events' resources, in order, and how many events were read until the page was
        full."""
        if self.first and names:
            self.began = max(self.began, time_of(names[0]))
            self.first = False
        found: list[Version] = []
        looked = 0
        while looked < len(names) and budget.room > 0:
            chunk = names[looked : looked + budget.at_once]
            looked += len(chunk)
            named = [(known, name) for name in chunk if (known := self._event(name)) is not None]
            events = [known for known, _ in named]
            name_of = {event: name for (event, _), name in named}
            distinct = list(dict.fromkeys(keys for _, keys in events))
            looks = yield from side_by_side([look(keys) for keys in distinct])
            bases = {keys: base for keys, (base, _) in zip(distinct, looks, strict=True)}
            changed = yield from self._current_then([one for one in events if self._changed_since(bases[one[1]])])
            for event, keys in events:
                record = bases[keys].shown
                if record is None or not self.criteria.match(keys.type, keys.id, record):
                    continue
                if (record.version, record.op) == (event.version, event.op) or event in changed:
                    budget.spend(record)
                    found.append(version_of(event.type, event.id, record))
                    self.names.append(name_of[event])
            self.last, self.looked = chunk[-1], self.looked + len(chunk)
        return found, looked

    def _event(self, name: str) -> tuple[Event, ResourceKeys] | None:
        try:
            event = parse_event(self.prefix + name)
            keys = self.keys.resource(event.type, event.id)
        except (ValueError, InvalidResource):
            return None  # not a key of fhirstore
        wanted = all(event.type in types for types in self.criteria.types)
        return (event, keys) if wanted else None

    def _changed_since(self, base: Base) -> bool:
        return base.record is not None and base.record.t > self.began

    def _current_then(self, events: Sequence[tuple[Event, ResourceKeys]]) -> Protocol[set[Event]]:
        """Returns the events whose version was current when the search began: the next version came later."""
        wanted = {keys.version(number) for event, keys in events for number in (event.version, event.version + 1)}
        records = yield from records_at(sorted(wanted))
        found: set[Event] = set()
        for event, keys in events:
            own, following = records.get(keys.version(event.version)), records.get(keys.version(event.version + 1))
            if own is None or own.op != event.op or following is None:
                continue
            if own.t <= self.began < following.t:
                found.add(event)
        return found
