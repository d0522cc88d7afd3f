"""Pages are linked both ways, in the Bundle and in the header `Link`, and the way back shows what was shown."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

HISTORIES = ("/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/p0/_history")
SEARCHES = (
    "/fhir/Patient?identifier=http://s|1",
    "/fhir/Patient?identifier=1",
    "/fhir/Patient?identifier=http://s|",
    "/fhir/Patient?_id=" + ",".join(f"p{n}" for n in range(7)),
    "/fhir/Patient?_lastUpdated=ge2020",
    "/fhir/Patient?",
    "/fhir?_type=Patient",
)


async def _put(served: Served, id_: str) -> None:
    body = {"resourceType": "Patient", "id": id_, "identifier": [{"system": "http://s", "value": "1"}]}
    assert (await served.client.put(f"/fhir/Patient/{id_}", content=json.dumps(body), headers=FHIR_JSON)).is_success


def _links(bundle: dict[str, Any]) -> dict[str, str]:  # a Bundle is what JSON is
    return {link["relation"]: link["url"] for link in bundle["link"]}


def _shown(bundle: dict[str, Any]) -> list[tuple[str, object]]:
    return [
        (entry["fullUrl"], entry.get("response", {}).get("etag", entry.get("resource", {}).get("id")))
        for entry in bundle.get("entry", [])
    ]


async def _page(served: Served, url: str) -> dict[str, Any]:
    answer = await served.client.get(url)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    return bundle


async def _forth(served: Served, url: str, *, between: str | None = None) -> list[dict[str, Any]]:
    """All pages from `url` on; after each, the Patient `between` is written."""
    pages = [await _page(served, url)]
    while (following := _links(pages[-1]).get("next")) is not None:
        if between is not None:
            await _put(served, between)
        pages.append(await _page(served, following))
        assert len(pages) < 30
    return pages


async def _back(served: Served, page: dict[str, Any]) -> list[dict[str, Any]]:
    """All pages before `page`, nearest first."""
    pages: list[dict[str, Any]] = []
    while (previous := _links(page).get("previous")) is not None:
        page = await _page(served, previous)
        pages.append(page)
        assert len(pages) < 30
    return pages


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated"])
@pytest.mark.parametrize("path", HISTORIES)
async def test_previous_links_lead_back_through_a_history(served: Served, path: str, sort: str) -> None:
    """Each page as it was, whatever is written meanwhile; the next links of the way back are those of the way forth."""
    for n in (0, 0, 0, 0, 0, 0, 0, 1, 2, 3):
        await _put(served, f"p{n}")
    forth = await _forth(served, f"{path}?_count=3{sort}", between="x")
    assert len(forth) >= 3
    assert "previous" not in _links(forth[0])
    before, last = forth[:-1], forth[-1]
    back = await _back(served, last)
    assert [_shown(page) for page in back] == [_shown(page) for page in before[::-1]]
    assert all("entry" in page for page in back)
    assert {page["meta"]["lastUpdated"] for page in back} == {last["meta"]["lastUpdated"]}
    again = await _forth(served, _links(back[-1])["self"])
    assert [_shown(page) for page in again[: len(forth)]] == [_shown(page) for page in forth]
    assert [page.get("total") for page in back] == [forth[0].get("total")] * len(back)


@pytest.mark.parametrize("path", SEARCHES)
async def test_previous_links_lead_back_through_a_search(served: Served, path: str) -> None:
    """Each page shows the resources that it showed, and nothing else of the pages beside it."""
    for n in range(7):
        await _put(served, f"p{n}")
    forth = await _forth(served, f"{path}&_count=2")
    assert "previous" not in _links(forth[0])
    assert sum(len(page.get("entry", ())) for page in forth) == 7
    back = await _back(served, forth[-1])
    assert [_shown(page) for page in back] == [_shown(page) for page in forth[:-1][::-1]]
    assert _links(back[0])["next"].partition("_cursor")[0] == _links(forth[-1])["self"].partition("_cursor")[0]
    again = await _forth(served, _links(back[-1])["self"])
    assert [_shown(page) for page in again] == [_shown(page) for page in forth]


@pytest.mark.parametrize("path", SEARCHES)
async def test_pages_that_are_gone_back_to_show_what_they_showed(served: Served, path: str) -> None:
    """Whatever has come to match since, was changed or was deleted."""
    for n in range(1, 7):
        await _put(served, f"p{n}")
    forth = await _forth(served, f"{path}&_count=2")
    await _put(served, "p0")
    await _put(served, "p1")
    await served.client.delete("/fhir/Patient/p3")
    back = await _back(served, forth[-1])
    assert [_shown(page) for page in back] == [_shown(page) for page in forth[:-1][::-1]]
    rest = await _forth(served, _links(back[-1])["next"])
    assert [_shown(page) for page in rest] == [_shown(page) for page in forth[1:]]


async def test_the_way_back_through_a_history_is_as_long_as_a_cursor_has_room_for(served: Served) -> None:
    """At least five pages; then there is no previous link rather than a wrong one. Through a search it has no end."""
    for n in range(30):
        await _put(served, f"p{n}")
    for url, shortest, longest in (
        ("/fhir/Patient/_history?_count=2", 5, 13),
        ("/fhir/Patient?identifier=1&_count=2", 14, 14),
    ):
        forth = await _forth(served, url)
        back = await _back(served, forth[-1])
        assert shortest <= len(back) <= longest
        assert [_shown(page) for page in back] == [_shown(page) for page in forth[:-1][::-1][: len(back)]]
        assert max(len(_links(page).get("next", "")) for page in forth) < 2_500


async def test_a_page_gone_back_to_costs_no_more_than_the_page_cost(served: Served) -> None:
    """2 LIST and 2 GET per entry at most, in a history; 1 LIST and 1 GET per candidate, by the index."""
    for n in range(60):
        await _put(served, f"p{n}")
    for url, most in (("/fhir/_history", {"LIST": 2, "GET": 20}), ("/fhir/Patient?identifier=http://s|1", {"GET": 10})):
        forth = await _forth(served, f"{url}{'&' if '?' in url else '?'}_count=10")
        previous = _links(forth[3])["previous"]
        with served.meter.measure() as cost:
            page = await _page(served, previous)
        assert len(page["entry"]) == 10
        assert all(cost.requests.get(name, 0) <= count for name, count in {"LIST": 2, **most}.items())


def _header(answer: httpx.Response) -> dict[str, str]:
    return {name or "": str(link["url"]) for name, link in answer.links.items()}


@pytest.mark.parametrize("url", ["/fhir/_history?_count=1", "/fhir/Patient?identifier=1&_count=1"])
async def test_the_links_of_a_page_stand_in_the_header_too(served: Served, url: str) -> None:
    """As RFC 8288 has them: what FHIR calls previous is prev."""
    for n in range(3):
        await _put(served, f"p{n}")
    for _ in range(3):
        answer = await served.client.get(url)
        links = _links(answer.json())
        if "previous" in links:
            links["prev"] = links.pop("previous")
        assert _header(answer) == links
        assert _header(await served.client.head(url)).keys() == links.keys()
        url = links.get("next", url)
    assert set(links) == {"self", "prev"}


async def test_links_too_long_for_a_header_stand_in_the_bundle_alone(served: Served) -> None:
    """A form may have parameters of many kilobytes."""
    form = "_id=" + quote(",".join(f"p{n:0>40}" for n in range(900)))
    answer = await served.client.post(
        "/fhir/Patient/_search", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 200
    assert len(_links(answer.json())["self"]) > 4_000
    assert "link" not in answer.headers


async def test_web_pages_of_other_origins_see_the_header() -> None:
    """Access-Control-Expose-Headers."""
    async with serving(Settings(cors_origins=("*",))) as served:
        answer = await served.client.get("/fhir/_history", headers={"Origin": "https://app.example.org"})
    assert "Link" in answer.headers["access-control-expose-headers"].split(", ")
