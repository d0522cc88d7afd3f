"""Pages for somebody who does not see everything: each resource once, full pages, no cursor to what is hidden."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import fhirstore.history.seen
from fhirstore import Access, FhirStore, HistoryPage, HistoryQuery, SearchPage, TenantStore, parse_scopes
from fhirstore.fhir.json import JsonObject

OWN = [f"o{n:02d}" for n in range(0, 20, 2)]
HIDDEN = [f"o{n:02d}" for n in range(1, 20, 2)]


def observation(id: str, patient: str) -> JsonObject:
    """An Observation with an identifier that all have."""
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [{"system": "urn:s", "value": "all"}],
    }


@pytest.fixture
async def clinic() -> AsyncIterator[TenantStore]:
    """Twenty Observations of one transaction, so that all have one time; every other one is hidden."""
    entries = [
        {
            "resource": observation(id_, "p" if id_ in OWN else "q"),
            "request": {"method": "PUT", "url": f"Observation/{id_}"},
        }
        for id_ in sorted((*OWN, *HIDDEN))
    ]
    async with FhirStore.open("memory:") as store:
        tenant = store.tenant("default")
        await tenant.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        yield tenant


@pytest.fixture
def app(clinic: TenantStore) -> TenantStore:
    """The store as the patient sees it."""
    return clinic.acting(Access("u", "c", scopes=parse_scopes("patient/*.rs")[0], patient="p"))


Page = SearchPage | HistoryPage
WALKS: dict[str, Callable[[TenantStore, int, str | None], Awaitable[Page]]] = {
    "type history": lambda t, n, c: t.history_page("Observation", query=HistoryQuery(n), cursor=c),
    "system history": lambda t, n, c: t.history_page(query=HistoryQuery(n), cursor=c),
    "type history, oldest first": lambda t, n, c: t.history_page(
        "Observation", query=HistoryQuery(n, oldest_first=True), cursor=c
    ),
    "system history, oldest first": lambda t, n, c: t.history_page(query=HistoryQuery(n, oldest_first=True), cursor=c),
    "search": lambda t, n, c: t.search_page(t.query("Observation", []), count=n, cursor=c),
    "search of all types": lambda t, n, c: t.search_page(t.query(None, []), count=n, cursor=c),
    "identifier": lambda t, n, c: t.search_page(
        t.query("Observation", [("identifier", "urn:s|all")]), count=n, cursor=c
    ),
    "ids": lambda t, n, c: t.search_page(
        t.query("Observation", [("_id", ",".join((*OWN, *HIDDEN)))]), count=n, cursor=c
    ),
}


async def walked(app: TenantStore, walk: str, count: int) -> list[list[str]]:
    """Returns the ids on each page; every cursor is opened, and names nothing hidden."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await WALKS[walk](app, count, cursor)
        found.append([one.id for one in (page.matches if isinstance(page, SearchPage) else page.versions)])
        cursor = page.next
        if cursor is None:
            return found
        text = _opened(cursor)
        assert not any(id_ in text for id_ in HIDDEN)


def _opened(cursor: str) -> str:
    """Returns the text in a cursor, and in the cursor in it."""
    text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    inner = [part for part in text.split('"') if len(part) > 40]
    return text + "".join(
        base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode(errors="replace") for part in inner
    )


@pytest.mark.parametrize("count", [1, 3, 10, 50])
@pytest.mark.parametrize("walk", WALKS)
async def test_each_is_shown_once_on_full_pages(app: TenantStore, walk: str, count: int) -> None:
    """Also where all have the same time, and hidden ones lie in between."""
    found = await walked(app, walk, count)
    assert sorted(id_ for page in found for id_ in page) == OWN
    assert [len(page) for page in found[:-1]] == [count] * (len(found) - 1)
    assert found[-1]


async def test_the_last_page_is_told_by_what_is_seen(app: TenantStore) -> None:
    """No `next` for the sake of hidden resources, and a total of what is seen."""
    page = await app.search_page(app.query("Observation", []), count=10)
    assert (len(page.matches), page.next, page.total) == (10, None, 10)
    assert await app.count("Observation") == await app.count("Observation", identifier="urn:s|all") == 10


@pytest.mark.parametrize("walk", [walk for walk in WALKS if "history" in walk])
async def test_a_walk_through_much_that_is_hidden_goes_on(
    clinic: TenantStore, app: TenantStore, walk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends after a number of resources, even if it is empty; its cursor names a time, and no resource."""
    for n in range(120):
        await clinic.update(observation(f"later{n}", "q"))
        await asyncio.sleep(0.002)
    monkeypatch.setattr(fhirstore.history.seen, "_MOST", 25)
    found = await walked(app, walk, 4)
    assert sorted({id_ for page in found for id_ in page}) == OWN
    assert [] in found or walk.endswith("oldest first")
    assert len(found) < 60
