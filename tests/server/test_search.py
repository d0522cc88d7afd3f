"""Searches answer as https://hl7.org/fhir/R4/http.html#search says, by what this server can search for."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fhirstore.fhir.definitions.load import definitions
from tests.server.serving import FHIR_JSON, Served

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def _people(served: Served, number: int = 3) -> None:
    for n in range(number):
        content = (
            f'{{"resourceType":"Patient","id":"p{n}","active":true,'
            f'"identifier":[{{"system":"http://h","value":"{n}"}},{{"system":"http://all","value":"x"}}]}}'
        )
        await served.client.put(f"/fhir/Patient/p{n}", content=content.encode(), headers=FHIR_JSON)


async def _found(served: Served, url: str, **headers: str) -> dict[str, Any]:  # a Bundle is what JSON is
    answer = await served.client.get(url, headers=headers)
    assert answer.status_code == 200, answer.text
    bundle: dict[str, Any] = answer.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    return bundle


def _ids(bundle: dict[str, Any]) -> list[str]:
    return sorted(entry["resource"]["id"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == "match")


def _link(bundle: dict[str, Any], relation: str) -> str | None:
    return next((link["url"] for link in bundle["link"] if link["relation"] == relation), None)


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("_id=p1", ["p1"]),
        ("_id=p1,p2,none", ["p1", "p2"]),
        ("identifier=http://h|1", ["p1"]),
        ("identifier=1", ["p1"]),
        ("identifier=http://all|x&_id=p0", ["p0"]),
        ("identifier=http://none|1", []),
        ("_lastUpdated=ge2020-01-01", ["p0", "p1", "p2"]),
        ("_lastUpdated=lt2020-01-01", []),
        ("", ["p0", "p1", "p2"]),
    ],
)
async def test_what_matches_is_found(served: Served, query: str, ids: list[str]) -> None:
    """By GET and by POST alike; each entry is whole and says that it matches."""
    await _people(served)
    bundle = await _found(served, f"/fhir/Patient?{query}")
    assert _ids(bundle) == ids
    for entry in bundle.get("entry", []):
        assert entry["fullUrl"] == f"http://testserver/fhir/Patient/{entry['resource']['id']}"
        stored = (await served.client.get(entry["fullUrl"])).json()
        assert (entry["resource"], entry["search"]) == (stored, {"mode": "match"})
    posted = await served.client.post("/fhir/Patient/_search", content=query, headers=FORM)
    assert posted.status_code == 200
    assert _ids(posted.json()) == ids


async def test_parameters_may_come_in_url_and_body(served: Served) -> None:
    """Then all of them count, the form of the answer included."""
    await _people(served)
    answer = await served.client.post(
        "/fhir/Patient/_search?identifier=http://all|x", content="_id=p1&_format=xml&_elements=active", headers=FORM
    )
    assert answer.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert '<id value="p1"/>' in answer.text and "p0" not in answer.text
    assert "SUBSETTED" in answer.text
    assert (await served.client.post("/fhir/Patient/_search")).status_code == 200


async def test_a_search_form_must_be_a_form(served: Served) -> None:
    """415 otherwise, 400 for what is no UTF-8."""
    for headers in (
        FHIR_JSON,
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": f"{FORM['Content-Type']}; charset=latin1"},
    ):
        answer = await served.client.post("/fhir/Patient/_search", content="_id=p", headers=headers)
        assert answer.status_code == 415
    assert (await served.client.post("/fhir/Patient/_search", content=b"_id=%ff", headers=FORM)).status_code == 400


async def test_all_types_are_searched_at_the_base(served: Served) -> None:
    """`_type` says which."""
    await _people(served, 1)
    await served.client.put(
        "/fhir/Basic/b", content=b'{"resourceType":"Basic","id":"b","code":{"text":"x"}}', headers=FHIR_JSON
    )
    assert _ids(await _found(served, "/fhir")) == ["b", "p0"]
    assert _ids(await _found(served, "/fhir?_type=Basic")) == ["b"]
    posted = await served.client.post("/fhir/_search", content="_type=Basic,Patient", headers=FORM)
    assert _ids(posted.json()) == ["b", "p0"]
    assert (await served.client.get("/fhir?_type=Nothing")).status_code == 400


async def test_links_lead_through_all_pages(served: Served) -> None:
    """self is what was understood; next keeps everything else that was asked."""
    await _people(served, 5)
    for query in ("identifier=http://all|x", "_lastUpdated=ge2020"):
        url: str | None = f"http://testserver/fhir/Patient?{query}&_count=2&_elements=active"
        seen: list[str] = []
        while url is not None:
            bundle = await _found(served, url)
            own = _link(bundle, "self")
            assert own is not None and parse_qs(urlsplit(own).query) == parse_qs(urlsplit(url).query)
            assert len(bundle["entry"]) <= 2
            seen += _ids(bundle)
            assert len(seen) <= 5
            url = _link(bundle, "next")
        assert sorted(seen) == [f"p{n}" for n in range(5)]


@pytest.mark.parametrize("total_only", ["_summary=count", "_count=0"])
@pytest.mark.parametrize(
    ("query", "total"), [("identifier=http://all|x", 3), ("_id=p1,none", 1), ("", 3), ("_lastUpdated=lt2020", 0)]
)
async def test_a_total_alone(served: Served, total_only: str, query: str, total: int) -> None:
    """`_summary=count` and `_count=0` mean the same; deleted resources do not count, nor do older versions."""
    await _people(served, 4)
    await _people(served, 3)
    await served.client.delete("/fhir/Patient/p3")
    bundle = await _found(served, f"/fhir/Patient?{query}&{total_only}")
    assert (bundle["total"], "entry" in bundle, _link(bundle, "next")) == (total, False, None)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("prefer", [{}, {"Prefer": "handling=strict"}])
async def test_what_is_not_supported_is_refused_by_name(served: Served, method: str, prefer: dict[str, str]) -> None:
    """Before anything is read."""
    with served.meter.measure() as cost:
        if method == "GET":
            answer = await served.client.get("/fhir/Location?near=x", headers=prefer)
        else:
            answer = await served.client.post("/fhir/Location/_search", content="near=x", headers=FORM | prefer)
    assert (answer.status_code, cost.requests) == (501, {})
    assert "'near'" in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "url",
    [
        "/fhir/Patient?colour=x",
        "/fhir/Patient?subject:Patient=x",
        "/fhir?identifier=x",
        "/fhir/Patient?%00=x",
        "/fhir?_TYPE=x",
    ],
)
async def test_what_fhir_does_not_know_is_the_clients_mistake(served: Served, url: str) -> None:
    """400, and not 501; `identifier` is nothing that all types have."""
    answer = await served.client.get(url)
    assert answer.status_code == 400
    assert "search parameter" in answer.json()["issue"][0]["diagnostics"]
    assert (await served.client.get("/fhir?identifier=x&_type=Patient,Group")).status_code == 200


async def test_a_lenient_client_is_told_what_was_ignored(served: Served) -> None:
    """An OperationOutcome among the entries names it, and the self link lacks it."""
    await _people(served)
    bundle = await _found(served, "/fhir/Patient?_id=p1&famly=Ng&a%20b=1", Prefer="handling=lenient")
    assert _ids(bundle) == ["p1"]
    assert _link(bundle, "self") == "http://testserver/fhir/Patient?_id=p1"
    (outcome,) = (entry for entry in bundle["entry"] if entry["search"]["mode"] == "outcome")
    assert [issue["severity"] for issue in outcome["resource"]["issue"]] == ["warning", "warning"]
    assert "'famly'" in outcome["resource"]["issue"][0]["diagnostics"]
    assert "Ng" not in str(outcome)


@pytest.mark.parametrize(
    "query", ["_count=-1", "_count=1&_count=2", "_lastUpdated=yesterday", "_cursor=x", "_id=", "identifier:of-type=x"]
)
async def test_what_makes_no_sense_is_refused_also_for_the_lenient(served: Served, query: str) -> None:
    """400, or 501 for a modifier."""
    answer = await served.client.get(f"/fhir/Patient?{query}", headers={"Prefer": "handling=lenient"})
    assert answer.status_code in (400, 501)
    assert answer.json()["resourceType"] == "OperationOutcome"


async def test_a_slash_at_the_end_changes_nothing(served: Served) -> None:
    """Clients whose base URL ends with one are many; the links have none."""
    await _people(served, 1)
    for url in ("/fhir/", "/fhir/Patient/", "/fhir/Patient/p0/"):
        assert (await served.client.get(url)).status_code == 200
    assert _link(await _found(served, "/fhir/Patient/?_id=p0"), "self") == "http://testserver/fhir/Patient?_id=p0"


async def test_unknown_types_and_methods(served: Served) -> None:
    """404 for a type there is not; 405 with Allow for GET on _search."""
    assert (await served.client.get("/fhir/Patent?_id=x")).status_code == 404
    answer = await served.client.get("/fhir/Patient/_search?_id=x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")


async def test_the_capability_statement_names_the_search_parameters(served: Served) -> None:
    """With their official definitions, for the types that have them."""
    rest = (await served.client.get("/fhir/metadata")).json()["rest"][0]
    assert {"code": "search-system"} in rest["interaction"]
    for resource in rest["resource"]:
        known = definitions("4.0").search_parameters[resource["type"]]
        names = {parameter["name"] for parameter in resource["searchParam"]}
        assert {"_id", "_lastUpdated"} <= names
        assert ("identifier" in names) == ("identifier" in known)
        assert all(parameter["definition"] == known[parameter["name"]].url for parameter in resource["searchParam"])
