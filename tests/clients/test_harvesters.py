"""Harvesters by plain requests, such as R's fhircrackr: they walk `next` links to the end, and send what was typed."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from tests.clients.clinic import HEART_RATE, LOINC, PATIENTS

_PATIENCE = 60.0  # seconds
_NEWEST, _OF_R4 = "application/fhir+json", "application/fhir+json; fhirVersion=4.0"


def _typed(url: str, accept: str = "*/*") -> dict[str, Any]:
    """GETs the URL as it is written: nothing is escaped, as curl and R's httr do it."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_PATIENCE)
    try:
        connection.putrequest("GET", url.split(parts.netloc, 1)[1])
        connection.putheader("Accept", accept)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    assert answer.status == 200, body
    found: dict[str, Any] = json.loads(body)
    return found


def _harvest(url: str, accept: str = "*/*") -> Iterator[dict[str, Any]]:
    """Yields the Bundles from this URL to the last page."""
    following: str | None = url
    while following is not None:
        bundle = _typed(following, accept)
        yield bundle
        following = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)


@pytest.mark.parametrize("accept", ["*/*", _NEWEST, _OF_R4, "application/json", "application/fhir+xml;q=0, */*;q=0.1"])
def test_every_match_comes_once(clinic_url: str, accept: str) -> None:
    """By a code with an unescaped bar, a few elements at a time, whatever JSON the client asks for."""
    url = f"{clinic_url}/Observation?code={LOINC}|{HEART_RATE}&_count=5&_elements=subject,valueQuantity&_format=json"
    pages = list(_harvest(url, accept))
    assert [len(page["entry"]) for page in pages] == [5, 5, 2]
    ids = {entry["resource"]["id"] for page in pages for entry in page["entry"]}
    assert len(ids) == PATIENTS
    assert all("_format=json" in link["url"] for page in pages for link in page["link"])


def test_links_are_absolute_and_urls_as_the_standard_has_them(clinic_url: str) -> None:
    """They begin with the base URL; resolving one against the request changes nothing (fhircrackr #110, #123)."""
    url = f"{clinic_url}/Observation?code={LOINC}|{HEART_RATE}&date=ge2024-03-01T00:00:00+01:00&_count=3"
    for page in _harvest(url):
        for link in page["link"]:
            assert link["url"].startswith(f"{clinic_url}/Observation?")
            assert urljoin(url, link["url"]) == requests.Request("GET", link["url"]).prepare().url
        assert all(entry["fullUrl"].startswith(f"{clinic_url}/Observation/") for entry in page["entry"])


def test_the_link_header_leads_to_the_end(clinic_url: str) -> None:
    """As requests reads it: `response.links`."""
    answer = requests.get(f"{clinic_url}/Patient", params={"_count": "5", "_sort": "birthdate"}, timeout=_PATIENCE)
    ids = [entry["resource"]["id"] for entry in answer.json()["entry"]]
    while "next" in answer.links:
        answer = requests.get(answer.links["next"]["url"], timeout=_PATIENCE)
        ids += [entry["resource"]["id"] for entry in answer.json()["entry"]]
    assert ids == [f"p{n:02}" for n in range(PATIENTS)]


@pytest.mark.parametrize("patients", [5, 900])
def test_a_form_is_followed_by_gets(clinic_url: str, patients: int) -> None:
    """Long lists of references are sent by POST; the next links, however long, are for GET (fhircrackr #116)."""
    subjects = ",".join(f"Patient/p{n:02}" if n < PATIENTS else f"Patient/{n:036}" for n in range(patients))
    form = {"subject": subjects, "_count": "4"}
    answer = requests.post(f"{clinic_url}/Observation/_search", data=form, timeout=_PATIENCE)
    ids = [entry["resource"]["id"] for entry in answer.json()["entry"]]
    following = next(link["url"] for link in answer.json()["link"] if link["relation"] == "next")
    for page in _harvest(following):
        ids += [entry["resource"]["id"] for entry in page["entry"]]
    assert len(ids) == len(set(ids)) == 2 * min(patients, PATIENTS)


def test_names_may_be_escaped(clinic_url: str) -> None:
    """Forms of browsers, URLSearchParams and others escape colons and bars."""
    for query in (
        "subject%3APatient.name=m%C3%BCller",
        "subject:Patient.name=mu%CC%88ller",  # decomposed, as macOS types it
        "_has%3AAuditEvent%3Aentity%3Aaction=C&subject:Patient.name=x",
        f"code=http%3A%2F%2Floinc.org%7C{HEART_RATE}&subject%3APatient.family%3Aexact=M%C3%BCller",
    ):
        found = _typed(f"{clinic_url}/Observation?{query}&_summary=count")
        assert found["total"] == (0 if "AuditEvent" in query else 3 if "code" in query else 6), query


def test_totals_are_of_matches_alone(clinic_url: str) -> None:
    """`_total=accurate` on a page of few, with includes; `_summary=count` and `_count=0` without entries and links."""
    query = f"{clinic_url}/Observation?_include=Observation:subject&_total=accurate&_count=1"
    page = _typed(query)
    assert (page["total"], len(page["entry"])) == (2 * PATIENTS, 2)
    for end in ("_summary=count", "_count=0"):
        counted = _typed(f"{clinic_url}/Observation?{end}")
        assert counted["total"] == 2 * PATIENTS
        assert "entry" not in counted
        assert [link["relation"] for link in counted["link"]] == ["self"]


def test_a_lenient_client_is_told_what_was_left_out(clinic_url: str) -> None:
    """The self link lacks it, and an OperationOutcome among the entries is no match."""
    answer = requests.get(
        f"{clinic_url}/Patient?_id=p01&nonsense=1", headers={"Prefer": "handling=lenient"}, timeout=_PATIENCE
    ).json()
    assert [entry["search"]["mode"] for entry in answer["entry"]] == ["match", "outcome"]
    assert answer["link"][0]["url"] == f"{clinic_url}/Patient?_id=p01"
    assert answer["total"] == 1
