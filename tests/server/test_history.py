"""history answers as https://hl7.org/fhir/R4/http.html#history says."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving


async def _put(served: Served, path: str, extra: str = "") -> None:
    type_, id_ = path.split("/")[-2:]
    content = f'{{"resourceType":"{type_}","id":"{id_}"{extra}}}'.encode()
    assert (await served.client.put(path, content=content, headers=FHIR_JSON)).status_code in (200, 201)


async def _bundle(served: Served, url: str) -> dict[str, Any]:  # a Bundle is what JSON is
    answer = await served.client.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json; charset=utf-8"
    bundle: dict[str, Any] = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "history")
    return bundle


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), None)


def _shown(bundle: dict[str, Any]) -> list[str]:
    return [f"{entry['fullUrl'].rpartition('/')[2]} {entry['response']['etag']}" for entry in bundle.get("entry", [])]


async def test_entries_tell_what_happened(served: Served) -> None:
    """Method, URL, status, ETag and time of each interaction; deletions have no resource."""
    posted = await served.client.post("/fhir/Patient", content=b'{"resourceType":"Patient"}', headers=FHIR_JSON)
    id_ = posted.json()["id"]
    await _put(served, f"/fhir/Patient/{id_}")
    await served.client.delete(f"/fhir/Patient/{id_}")
    await _put(served, "/fhir/Patient/own")
    entries = (await _bundle(served, "/fhir/Patient/_history"))["entry"]
    (own,) = (entry for entry in entries if entry["fullUrl"].endswith("/own"))
    deleted, updated, created = (entry for entry in entries if entry is not own)  # of one ms, the order is open
    url = f"Patient/{id_}"
    assert [entry["fullUrl"] for entry in (deleted, updated, created)] == [f"http://testserver/fhir/{url}"] * 3
    assert created["request"] == {"method": "POST", "url": "Patient"}
    assert created["resource"] == posted.json()
    assert created["response"] == {
        "status": "201",
        "etag": 'W/"1"',
        "lastModified": posted.json()["meta"]["lastUpdated"],
    }
    assert (updated["request"], updated["response"]["status"]) == ({"method": "PUT", "url": url}, "200")
    assert (deleted["request"], deleted["response"]["status"]) == ({"method": "DELETE", "url": url}, "204")
    assert (deleted["response"]["etag"], "resource" in deleted) == ('W/"3"', False)
    assert own["response"]["status"] == "201"


async def test_stored_bytes_come_back_exactly(served: Served) -> None:
    """Decimals, escapes and the order of members survive in a Bundle as in a read."""
    content = (
        b'{"status":"final","resourceType":"Observation","id":"o","code":{"text":"\\u00e9\\""},'
        b'"valueQuantity":{"value":1.00},"referenceRange":[{"low":{"value":-0},"high":{"value":1E2}}]}'
    )
    await served.client.put("/fhir/Observation/o", content=content, headers=FHIR_JSON)
    stored = (await served.client.get("/fhir/Observation/o")).content
    for path in ("/fhir/Observation/o/_history", "/fhir/Observation/_history", "/fhir/_history"):
        assert b'"resource":' + stored + b"," in (await served.client.get(path)).content


@pytest.mark.parametrize("path", ["/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/p/_history"])
@pytest.mark.parametrize("sort", ["", "&_sort=-_lastUpdated", "&_sort=_lastUpdated", "&_sort=none"])
async def test_next_links_lead_through_all_of_it(served: Served, path: str, sort: str) -> None:
    """Each page's self link gives the same page again, though others write; no page shifts."""
    for _ in range(5):
        await _put(served, "/fhir/Patient/p")
    url: str | None = f"http://testserver{path}?_count=2{sort}"
    seen: list[str] = []
    times = set()
    while url is not None:
        bundle = await _bundle(served, url)
        await _put(served, "/fhir/Patient/p") if not seen else None
        own = _link(bundle, "self")
        assert own == url
        if seen:
            assert _shown(await _bundle(served, own)) == _shown(bundle)
        seen += _shown(bundle)
        times.add(bundle["meta"]["lastUpdated"])
        assert len(seen) < 20
        url = _link(bundle, "next")
    expected = [f'p W/"{n}"' for n in range(5, 0, -1)]
    assert [name for name in seen if name != 'p W/"6"'] == (
        expected[::-1] if sort.endswith("=_lastUpdated") else expected
    )
    assert len(times) == 1, "all pages name the same time for the next _since"


async def test_a_total_stands_where_it_is_cheap(served: Served) -> None:
    """For one resource, unless only some of its versions are asked for."""
    for _ in range(3):
        await _put(served, "/fhir/Patient/p")
    assert (await _bundle(served, "/fhir/Patient/p/_history?_count=1"))["total"] == 3
    only_total = await _bundle(served, "/fhir/Patient/p/_history?_count=0")
    assert (only_total["total"], "entry" in only_total, _link(only_total, "next")) == (3, False, None)
    assert "total" not in await _bundle(served, "/fhir/Patient/p/_history?_since=2020-01-01T00:00:00Z")
    for path in ("/fhir/Patient/_history", "/fhir/_history", "/fhir/_history?_count=0"):
        assert "total" not in await _bundle(served, path)


async def test_since_and_at_select_by_time(served: Served) -> None:
    """`_since` includes its own instant; `_at` finds what was current then."""
    for _ in range(2):
        await _put(served, "/fhir/Patient/p")
    new, old = (entry["response"]["lastModified"] for entry in (await _bundle(served, "/fhir/_history"))["entry"])
    for path in ("/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/p/_history"):
        assert _shown(await _bundle(served, f"{path}?_since={new}")) == ['p W/"2"']
        assert _shown(await _bundle(served, f"{path}?_at={old}")) == ['p W/"1"']
        assert _shown(await _bundle(served, f"{path}?_at={new}")) == ['p W/"2"']
        assert _shown(await _bundle(served, f"{path}?_at={old[:4]}")) == ['p W/"2"', 'p W/"1"']
        assert _shown(await _bundle(served, f"{path}?_at=2020")) == []
        assert _shown(await _bundle(served, f"{path}?_since=2999-01-01T00:00:00%2B01:00")) == []


async def test_the_bundles_time_is_safe_for_the_next_since(served: Served) -> None:
    """It lies before everything that may still be under way, so a version just made is seen again, not missed."""
    await _put(served, "/fhir/Patient/p")
    bundle = await _bundle(served, "/fhir/_history")
    assert bundle["meta"]["lastUpdated"] < bundle["entry"][0]["response"]["lastModified"]
    again = await _bundle(served, f"/fhir/_history?_since={bundle['meta']['lastUpdated']}")
    assert _shown(again) == _shown(bundle)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("_count=x", "_count"),
        ("_count=-1", "_count"),
        ("_count=%C2%B2", "_count"),
        ("_count=1&_count=2", "_count"),
        ("_since=yesterday", "_since"),
        ("_since=2024", "_since"),
        ("_since=", "_since"),
        ("_at=2024-13", "_at"),
        ("_at=ge2024", "_at"),
        ("_sort=_id", "_sort"),
        ("_cursor=x", "cursor"),
        ("_cursor=", "cursor"),
        ("_list=42", "_list"),
        ("name=x&foo=y", "foo, name"),
    ],
)
@pytest.mark.parametrize("path", ["/fhir/_history", "/fhir/Patient/_history", "/fhir/Patient/p/_history"])
async def test_what_cannot_be_understood_is_refused_by_name(served: Served, path: str, query: str, named: str) -> None:
    """400 before anything is read."""
    with served.meter.measure() as cost:
        answer = await served.client.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert named in answer.json()["issue"][0]["diagnostics"]
    assert cost.requests == {}


async def test_a_lenient_client_gets_unknown_parameters_ignored(served: Served) -> None:
    """`Prefer: handling=lenient`; the self link says what was understood."""
    await _put(served, "/fhir/Patient/p")
    lenient = {"Prefer": "return=minimal; handling=lenient"}
    answer = await served.client.get("/fhir/_history?foo=1&_count=1&foo=2", headers=lenient)
    assert answer.status_code == 200
    assert _link(answer.json(), "self") == "http://testserver/fhir/_history?_count=1"
    assert (await served.client.get("/fhir/_history?_count=x", headers=lenient)).status_code == 400


async def test_what_is_not_there_is_404(served: Served) -> None:
    """A resource that never was, a type that does not exist; a type nobody used is empty; a deleted one has history."""
    assert (await served.client.get("/fhir/Patient/never/_history")).status_code == 404
    assert (await served.client.get("/fhir/Unheard/_history")).status_code == 404
    assert (await served.client.get("/fhir/Patient/a_b/_history")).status_code == 400
    assert _shown(await _bundle(served, "/fhir/Patient/_history")) == []
    await _put(served, "/fhir/Patient/p")
    await served.client.delete("/fhir/Patient/p")
    assert _shown(await _bundle(served, "/fhir/Patient/p/_history")) == ['p W/"2"', 'p W/"1"']


async def test_a_cursor_reads_nothing_of_another_tenant_or_type() -> None:
    """It is a place in the history that the URL names; shown elsewhere it is only a time."""
    async with serving(Settings(tenant_source="path", tenants=frozenset({"a", "b"}))) as served:
        for number in range(3):
            await _put(served, f"/fhir/a/Patient/p{number}")
        await _put(served, "/fhir/a/Person/secret")
        next_url = _link(await _bundle(served, "/fhir/a/_history?_count=1"), "next")
        assert next_url is not None and next_url.startswith("http://testserver/fhir/a/_history?")
        cursor = parse_qs(urlsplit(next_url).query)["_cursor"][0]
        assert _shown(await _bundle(served, f"/fhir/b/_history?_cursor={cursor}")) == []
        others = _shown(await _bundle(served, f"/fhir/a/Patient/_history?_cursor={cursor}"))
        assert set(others) <= {f'p{number} W/"1"' for number in range(3)}


async def test_formats_are_kept_in_links(served: Served) -> None:
    """A client that needs `_format` gets it in the next link, too."""
    for number in range(2):
        await _put(served, f"/fhir/Patient/p{number}")
    bundle = await _bundle(served, "/fhir/_history?_format=json&_count=1")
    assert "_format=json" in (_link(bundle, "next") or "")
    assert json.dumps(bundle)


async def test_the_status_of_an_entry_is_what_the_interaction_was_answered(served: Served) -> None:
    """For every method, in the history of the instance, of the type and of everything."""
    served_patient, patch = '{"resourceType":"Patient","id":"%s"}', b'[{"op":"add","path":"/active","value":true}]'
    url, client = "/fhir/Patient/p", served.client

    async def put() -> int:
        return (await client.put(url, content=served_patient % "p", headers=FHIR_JSON)).status_code

    posted = await client.post("/fhir/Patient", content=b'{"resourceType":"Patient"}', headers=FHIR_JSON)
    answered = [await put(), await put(), (await client.delete(url)).status_code, await put(), await put()]
    answered += [
        (await client.patch(url, content=patch, headers={"Content-Type": "application/json-patch+json"})).status_code
    ]
    answered += [(await client.delete(url)).status_code]
    entry = {"resource": json.loads(served_patient % "p"), "request": {"method": "PUT", "url": "Patient/p"}}
    for kind in ("transaction", "batch"):
        bundle = json.dumps({"resourceType": "Bundle", "type": kind, "entry": [entry]}).encode()
        (done,) = (await client.post("/fhir", content=bundle, headers=FHIR_JSON)).json()["entry"]
        answered += [int(done["response"]["status"][:3])]
        answered += [(await client.delete(url)).status_code]
    assert answered == [201, 200, 204, 201, 200, 200, 204, 201, 204, 201, 204]
    assert posted.status_code == 201
    for path in (url, "/fhir/Patient", "/fhir"):
        for query in ("", "?_count=1", "?_sort=_lastUpdated"):
            next_url: str | None = f"{path}/_history{query}"
            told: list[int] = []
            while next_url is not None:
                bundle_ = await _bundle(served, next_url)
                told += [
                    int(one["response"]["status"])
                    for one in bundle_.get("entry", [])
                    if one["fullUrl"].endswith("Patient/p")
                ]
                next_url = _link(bundle_, "next")
            assert (told if "_sort" in query else told[::-1]) == answered


@pytest.mark.slow
async def test_what_comes_back_after_a_purge_was_created() -> None:
    """201, though it is not the first version; in the history as in the answer."""
    async with serving(Settings(enable_purge=True)) as served:
        await _put(served, "/fhir/Patient/p")
        await served.client.post("/fhir/Patient/p/$purge")
        answer = await served.client.put(
            "/fhir/Patient/p", content=b'{"resourceType":"Patient","id":"p"}', headers=FHIR_JSON
        )
        assert (answer.status_code, answer.headers["etag"]) == (201, 'W/"2"')
        (entry,) = (await _bundle(served, "/fhir/Patient/p/_history"))["entry"]
        assert entry["response"]["status"] == "201"


@pytest.mark.parametrize("sort", ["", "&_sort=_lastUpdated"])
async def test_the_total_of_an_instance_stays_the_same_through_its_pages(served: Served, sort: str) -> None:
    """Whatever is written meanwhile, since the pages do not show it; who asks anew gets the new total."""
    for _ in range(5):
        await _put(served, "/fhir/Patient/p")
    url: str | None = f"/fhir/Patient/p/_history?_count=2{sort}"
    totals, shown = [], 0
    while url is not None:
        bundle = await _bundle(served, url)
        totals.append(bundle["total"])
        shown += len(bundle["entry"])
        await _put(served, "/fhir/Patient/p")
        url = _link(bundle, "next")
    assert (totals, shown) == ([5, 5, 5], 5)
    assert (await _bundle(served, "/fhir/Patient/p/_history"))["total"] == 8
