"""What conditional entries and references by search find, while others write."""

from __future__ import annotations

from fhirstore.bundles.lookup import Found, look_up
from fhirstore.bundles.options import BundleOptions
from fhirstore.format.keyspace import Keyspace
from fhirstore.objects.base import Page
from fhirstore.objects.memory import MemoryStore
from fhirstore.search.conditional.condition import parse_condition
from fhirstore.search.conditional.identifying import Criteria
from fhirstore.tenancy import Place
from tests.commit.writing import run
from tests.interactions.carrying import carrying

SPACE = Keyspace("")


class _Moving(MemoryStore):
    """After its first LIST the identifier moves from one resource to another."""

    moved = False

    async def list(self, prefix: str, **options: object) -> Page:
        page = await super().list(prefix, **options)  # type: ignore[arg-type]
        if not self.moved:
            self.moved = True
            await run(self, carrying("s|1"), keys=SPACE.resource("Patient", "q"))
            await run(self, carrying(), keys=SPACE.resource("Patient", "p"))
        return page


async def test_an_identifier_that_moves_while_a_bundle_looks_it_up_is_found() -> None:
    """Nobody is told that nothing matches, when something did all the time."""
    store = _Moving()
    await run(store, carrying("s|1"), keys=SPACE.resource("Patient", "p"))
    question = ("Patient", "identifier=s|1")
    place = Place("t", store, SPACE)

    async def condition(type: str, query: str) -> Criteria:
        return parse_condition(type, query)

    answers = await look_up(place, [question], besides={}, options=BundleOptions(), condition=condition)
    found = answers[question]
    assert isinstance(found, Found)
    assert [match.id for match in found.matches] == ["q"]
