"""Every history, with any parameters, is what a list of all committed versions says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhirstore.fhir.times import Period
from fhirstore.history.page import HistoryQuery
from tests.history.reading import Name, World

IDS = [("Basic", "a"), ("Basic", "b"), ("Patient", "a")]


@dataclass(frozen=True, slots=True)
class Made:
    """A committed version, and when the next one came."""

    name: Name
    t: int
    until: int | None = None

    def was_current(self, period: Period) -> bool:
        return self.t < period.end and (self.until is None or self.until > period.start)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(IDS), st.sampled_from(["PUT", "PUT", "DELETE", "die"]), st.integers(0, 30)), max_size=40
)


@settings(max_examples=80, deadline=None)
@given(ACTIONS, st.data())
@pytest.mark.slow
async def test_since_at_count_and_sort(actions: list[tuple[tuple[str, str], str, int]], data: st.DataObject) -> None:
    """One resource, a type or everything; any period, any page size, either order; attempts that died in between."""
    world = World()
    begin = world.clock.ms
    made: list[Made] = []
    for (type_, id_), method, pause in actions:
        world.clock.ms += pause
        if method == "die":
            await world.die(id_, type=type_)
            continue
        name = await world.put(id_, type=type_, method=method)
        made = [
            Made(old.name, old.t, world.clock.ms) if old.name[:2] == name[:2] and old.until is None else old
            for old in made
        ]
        made.append(Made(name, world.clock.ms))
    moments = st.integers(begin - 2, world.clock.ms + 2)
    for _ in range(6):
        start, length = data.draw(moments), data.draw(st.sampled_from([1, 5, 40, 10**6]))
        query = HistoryQuery(
            count=data.draw(st.sampled_from([1, 2, 7, 50])),
            since=data.draw(st.none() | moments),
            at=data.draw(st.sampled_from([None, Period(start, start + length)])),
            oldest_first=data.draw(st.booleans()),
        )
        scopes: list[tuple[str | None, str | None]] = [(None, None), ("Basic", None), ("Patient", None)]
        scopes += sorted({entry.name[:2] for entry in made})
        for type_or_all, id_or_all in scopes:
            expected = [
                entry.name
                for entry in made
                if type_or_all in (None, entry.name[0])
                and id_or_all in (None, entry.name[1])
                and (query.since is None or entry.t >= query.since)
                and (query.at is None or entry.was_current(query.at))
            ]
            found = await world.read.all(type_or_all, id_or_all, query=query)
            assert found == (expected if query.oldest_first else expected[::-1]), (type_or_all, id_or_all, query)
