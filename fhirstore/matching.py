"""Runs conditional interactions on one tenant: what `identity.conditional` decides, to its end and remembered.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from typing import TypeVar

from fhirstore import resources
from fhirstore.commit.messages import Protocol
from fhirstore.commit.single import Decide
from fhirstore.engine import Engine
from fhirstore.identity.conditional import DecideFor, Done, change_matching, create_unless, update_matching
from fhirstore.resources import Version
from fhirstore.search.criteria import Criteria, parse_condition
from fhirstore.tenancy import Place

_Result = TypeVar("_Result")


class Matching:
    """Writes to what meets a condition, or creates it. Each raises MultipleMatches, and as the write itself."""

    def __init__(self, engine: Engine, place: Place) -> None:
        self._engine = engine
        self._place = place

    def condition(self, type: str, criteria: str) -> Criteria:
        """Read `identifier=system|value` and the like. Raises InvalidResource, Unsupported."""
        return parse_condition(type, criteria, release=self._engine.validator.definitions.release)

    async def create(self, condition: Criteria, decide_for: DecideFor, *, heavy: bool = False) -> Version:
        """What matches, as it is; where nothing does, what `decide_for` its new id makes. `heavy`: as of `drive`."""
        context = self._engine.context(self._place)
        protocol = create_unless(self._place.keys, condition, decide_for, context=context)
        return _shown(await self._run(condition, protocol, heavy=heavy))

    async def update(
        self, condition: Criteria, decide_for: DecideFor, *, id: str | None, heavy: bool = False
    ) -> Version:
        """The next version of what matches; where nothing does, the first one under `id`, or under a new id."""
        context = self._engine.context(self._place)
        protocol = update_matching(self._place.keys, condition, decide_for, id=id, context=context)
        return _shown(await self._run(condition, protocol, heavy=heavy))

    async def change(self, condition: Criteria, decide: Decide, *, heavy: bool = False) -> Version | None:
        """The next version of what matches; None where nothing does."""
        protocol = change_matching(self._place.keys, condition, decide, context=self._engine.context(self._place))
        done = await self._run(condition, protocol, heavy=heavy)
        return None if done is None else _shown(done)

    async def _run(self, condition: Criteria, protocol: Protocol[_Result], *, heavy: bool) -> _Result:
        turns = [self._place.keys.identity_claim(condition.type or "", value) for value in condition.values]
        done = await self._engine.run(self._place, protocol, turns=turns, heavy=heavy)
        if isinstance(done, Done):
            self._engine.saw(self._place, done.keys, done.outcome)
        return done


def _shown(done: Done) -> Version:
    assert done.outcome.record is not None  # noqa: S101 - what was found, or made
    return resources.version_of(done.keys.type, done.keys.id, done.outcome.record, created=done.outcome.created)
