"""fhirclient, SMART's client for Python, searches our server as its users do.

It sends Accept-Charset, wants absolute next links, and refuses a Bundle that has an element it does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import pytest
import requests
from fhirclient.client import FHIRClient
from fhirclient.models.observation import Observation
from fhirclient.models.patient import Patient

from tests.clients.clinic import HEART_RATE, LOINC, PATIENTS

Search: TypeAlias = Any  # fhirclient has no types
Server: TypeAlias = Any

ALL = [f"p{n:02}" for n in range(PATIENTS)]


@pytest.fixture
def server(clinic_url: str) -> Iterator[Server]:
    """The clinic, as a client without a launch sees it."""
    smart = FHIRClient(settings={"app_id": "clinic", "api_base": clinic_url})
    assert smart.prepare()
    assert smart.ready
    yield smart.server
    smart.server.session.close()


def _found(search: Search, server: Server) -> list[str]:
    return [each.id for each in search.perform_resources_iter(server)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ALL),
        ({"gender": "male", "_count": "2"}, ALL[::2]),
        ({"identifier": "http://example.org/mrn|3"}, ["p03"]),
        ({"birthdate": {"$and": ["ge1955", "le1957-12-31"]}}, ["p05", "p06", "p07"]),
        ({"family": {"$or": ["O'Brien", "Müller"]}}, ALL[::2]),
        ({"family": {"$exact": "Müller"}}, ["p00", "p04", "p08"]),
        ({"family": {"$exact": "müller"}}, []),
        ({"address": {"$missing": "true"}, "_id": "p01"}, ["p01"]),
        ({"general-practitioner": {"$type": "Practitioner", "name": "Ada"}}, ALL[:4]),
        ({"_has:Observation:patient:value-quantity": "gt70||/min"}, ["p11"]),
    ],
)
def test_patients_are_found(server: Server, asked: dict[str, Any], found: list[str]) -> None:
    """By structs as where() takes them, over all pages, in order."""
    assert _found(Patient.where({**asked, "_sort": "birthdate"}), server) == found


def test_pages_are_bundles(server: Server) -> None:
    """perform_iter() reads each into a model, which refuses what is no Bundle of R4."""
    pages = list(Patient.where({"_count": "5", "_total": "accurate"}).perform_iter(server))
    assert [(page.type, page.total, len(page.entry)) for page in pages] == [
        ("searchset", PATIENTS, size) for size in (5, 5, 2)
    ]


def test_references_are_included(server: Server) -> None:
    """include() in both directions; the modes tell matches from what comes along."""
    observations = Observation.where({"code": f"{LOINC}|{HEART_RATE}", "patient": "p01"}).include("subject")
    assert _found(observations, server) == [f"o01-{HEART_RATE}", "p01"]
    (page,) = Patient.where({"_id": "p01"}).include("subject", Observation, reverse=True).perform_iter(server)
    assert [entry.search.mode for entry in page.entry] == ["match", "include", "include"]


def test_a_resolved_reference_is_a_model(server: Server) -> None:
    """What a match refers to is read by the client from its reference."""
    (observation,) = Observation.where({"_id": f"o01-{HEART_RATE}"}).perform_resources_iter(server)
    assert observation.subject.resolved(Patient).birthDate.isostring == "1951-06-15"


def test_prefixes_of_a_former_fhir_are_refused_with_the_reason(server: Server) -> None:
    """Its `$gte` is `>=`, as before DSTU2."""
    with pytest.raises(requests.HTTPError) as refused:
        _found(Patient.where({"birthdate": {"$gte": "1955"}}), server)
    assert refused.value.response is not None
    assert "ge instead of >=" in refused.value.response.text
