"""What FHIR has and this server lacks is 501 with a reason, what FHIR has not is 404, a method it does not use 405."""

from __future__ import annotations

import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/fhir/ValueSet/$expand", "$expand"),
        ("/fhir/ValueSet/v/$expand?filter=x", "$expand"),
        ("/fhir/$meta", "$meta"),
        ("/fhir/Patient/$meta", "$meta"),
        ("/fhir/Patient/p/$meta/", "$meta"),
        ("/fhir/Patient/p/_history/1/$meta", "$meta"),
        ("/fhir/Patient/p/$meta-add", "$meta-add"),
        ("/fhir/CodeSystem/$lookup", "$lookup"),
        ("/fhir/$versions", "$versions"),
        ("/fhir/$process-message", "$process-message"),
        ("/fhir/$graphql", "$graphql"),
    ],
)
async def test_what_this_server_lacks_is_501(served: Served, path: str, named: str) -> None:
    """With what it is and where to see what there is; by every method that FHIR has there, and nothing is read."""
    with served.meter.measure() as cost:
        answer = await served.client.post(path, content=b'{"resourceType":"Parameters"}', headers=FHIR_JSON)
    issue = answer.json()["issue"][0]
    assert (answer.status_code, issue["code"]) == (501, "not-supported")
    assert named in issue["diagnostics"]
    assert cost.requests == {}


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/fhir/$foo", "$foo"),
        ("/fhir/Patient/$foo", "$foo"),
        ("/fhir/Patient/p/$foo", "$foo"),
        ("/fhir/Patient/p/$Foo%20<b>", "of that name"),
        ("/fhir/Patient/$expand", "not here"),
        ("/fhir/Observation/$export", "not here"),
        ("/fhir/Patient/p/$export", "not here"),
        ("/fhir/Encounter/$everything", "not here"),
        ("/fhir/$everything", "not here"),
        ("/fhir/$validate", "not here"),
        ("/fhir/Unheard/$meta", "not here"),
        ("/fhir/Patient/p/$everything/x", "not here"),
        ("/fhir/Patient/p/q/$everything", "not here"),
        ("/fhir/Observation/p/Patient", "No such endpoint"),
        ("/fhir/Patient/p/Unheard", "No such endpoint"),
        ("/fhir/Patient/p/_history/1/x", "No such endpoint"),
    ],
)
async def test_what_fhir_has_not_is_404(served: Served, path: str, named: str) -> None:
    """An operation of no such name, or not of that type or level; and what is no path of FHIR."""
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = await served.client.request(method, path)
        assert answer.status_code == 404
        assert named in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/fhir/Patient/$everything", "GET, HEAD, POST, OPTIONS"),
        ("DELETE", "/fhir/ValueSet/v/$expand", "GET, POST, HEAD, OPTIONS"),
        ("GET", "/fhir/$bulk-submit", "POST, OPTIONS"),
        ("HEAD", "/fhir/$bulk-submit", "POST, OPTIONS"),
        ("POST", "/fhir/Patient/p/Observation", "GET, HEAD, OPTIONS"),
        ("GET", "/fhir/Patient/p/Observation/_search", "POST, OPTIONS"),
        ("DELETE", "/fhir/Patient/$validate", "POST, OPTIONS"),
    ],
)
async def test_a_method_that_fhir_does_not_use_there_is_405(
    served: Served, method: str, path: str, allowed: str
) -> None:
    """And `Allow` names those that it does."""
    answer = await served.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_head_and_options_of_what_is_lacking_say_so(served: Served) -> None:
    """501, as what they ask about is not there."""
    for method in ("HEAD", "OPTIONS"):
        assert (await served.client.request(method, "/fhir/ValueSet/v/$expand")).status_code == 501


async def test_each_release_has_its_own_operations() -> None:
    """Patient/$merge came with R5; an operation that changes something is for POST alone where the release says so."""
    for version, status in (("4.0", 404), ("4.3", 404), ("5.0", 501)):
        async with serving(Settings(fhir_version=version)) as served:
            assert (await served.client.post("/fhir/Patient/$merge")).status_code == status
            adding = await served.client.get("/fhir/Patient/p/$meta-add")
            assert adding.status_code == (501 if version == "4.0" else 405)


async def test_a_tenant_in_the_path_changes_nothing() -> None:
    """It stands before all of it."""
    async with serving(Settings(tenant_source="path", tenants=frozenset({"a"}))) as served:
        for path, status in (
            ("Patient/p/$everything", 404),
            ("$meta", 501),
            ("Patient/p/Observation", 200),
            ("Observation/p/Patient", 404),
            ("$f", 404),
        ):
            assert (await served.client.get(f"/fhir/a/{path}")).status_code == status
