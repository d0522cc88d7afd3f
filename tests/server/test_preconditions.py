"""The preconditions that HTTP has besides FHIR's own, on every method: https://www.rfc-editor.org/rfc/rfc9110#section-13."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.server.serving import FHIR_JSON, Served

BODY = b'{"resourceType":"Patient","id":"p","active":true,"identifier":[{"system":"http://s","value":"1"}]}'
LONG_AGO, FAR_AHEAD = "Sat, 01 Jan 2000 00:00:00 GMT", "Sun, 01 Jan 2090 00:00:00 GMT"
QUERY = "?identifier=http://s|1"


@pytest.fixture
async def patient(served: Served) -> Served:
    """A server with version 1 of Patient/p."""
    await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
    return served


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server whose own time zone is not that of HTTP."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def write(served: Served, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    """A PUT, PATCH or DELETE that would work but for its conditions."""
    kind = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else FHIR_JSON
    content = {"PUT": BODY, "PATCH": b'{"active":false}'}.get(method)
    return await served.client.request(method, f"/fhir/Patient{path}", content=content, headers=kind | headers)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/p", QUERY])
@pytest.mark.parametrize(
    ("headers", "fits"),
    [
        ({"If-None-Match": 'W/"1"'}, False),
        ({"If-None-Match": "*"}, False),
        ({"If-None-Match": 'W/"7"'}, True),
        ({"If-Unmodified-Since": LONG_AGO}, False),
        ({"If-Unmodified-Since": FAR_AHEAD}, True),
        ({"If-Unmodified-Since": "yesterday"}, True),
        ({"If-Unmodified-Since": LONG_AGO, "If-Match": 'W/"1"'}, True),
        ({"If-Unmodified-Since": FAR_AHEAD, "If-Match": 'W/"7"'}, False),
        ({"If-Modified-Since": FAR_AHEAD}, True),
    ],
)
async def test_writes_heed_every_precondition(
    patient: Served, method: str, path: str, headers: dict[str, str], fits: bool
) -> None:
    """By id and by criteria: 412 and nothing written where one does not hold; tags go before dates."""
    answer = await write(patient, method, path, headers)
    assert answer.status_code == ((204 if method == "DELETE" else 200) if fits else 412), answer.text
    now = await patient.client.get("/fhir/Patient/p")
    assert now.headers["etag"] == ('W/"2"' if fits else 'W/"1"')


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_never_was_has_no_date_to_compare(served: Served, method: str) -> None:
    """ "A recipient MUST ignore If-Unmodified-Since if the resource does not have a modification date available."."""
    assert (await write(served, method, "/p", {"If-Unmodified-Since": LONG_AGO})).is_success


async def test_last_modified_is_unmodified_since_itself(patient: Served) -> None:
    """What a client was told as Last-Modified is the time it may send."""
    told = (await patient.client.get("/fhir/Patient/p")).headers["last-modified"]
    assert (await write(patient, "PATCH", "/p", {"If-Unmodified-Since": told})).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/fhir/Patient/p", "/fhir/Patient/p/_history/1"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-Match": 'W/"1"'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": 'W/"7"'}, 412),
        ({"If-Match": "nonsense"}, 400),
        ({"If-Unmodified-Since": LONG_AGO}, 412),
        ({"If-Unmodified-Since": FAR_AHEAD}, 200),
        ({"If-Match": 'W/"7"', "If-None-Match": 'W/"1"'}, 412),
        ({"If-Match": 'W/"1"', "If-None-Match": 'W/"1"'}, 304),
    ],
)
async def test_reads_heed_them_too(
    patient: Served, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """In the order of section 13.2.2: what must match before what must not."""
    answer = await patient.client.request(method, path, headers=headers)
    assert answer.status_code == status
    assert status != 412 or answer.headers["etag"] == 'W/"1"'


@pytest.mark.usefixtures("far_from_greenwich")
async def test_dates_without_a_zone_are_greenwich(patient: Served) -> None:
    """asctime's form names no zone, and the server's own does not matter."""
    told = (await patient.client.get("/fhir/Patient/p")).headers["last-modified"]
    as_c_writes_it = time.strftime("%a %b %e %H:%M:%S %Y", time.strptime(told, "%a, %d %b %Y %H:%M:%S GMT"))
    for header, status in (("If-Modified-Since", 304), ("If-Unmodified-Since", 200)):
        assert (await patient.client.get("/fhir/Patient/p", headers={header: as_c_writes_it})).status_code == status


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_if_none_match_of_an_entry_is_heeded(patient: Served, kind: str, method: str) -> None:
    """Also where the entry patches or deletes."""
    request = {"method": method, "url": "Patient/p", "ifNoneMatch": 'W/"1"'}
    patch = {"resourceType": "Binary", "contentType": "application/merge-patch+json", "data": "e30="}
    entry = {"request": request} | ({"resource": patch} if method == "PATCH" else {})
    bundle = {"resourceType": "Bundle", "type": kind, "entry": [entry]}
    answer = await patient.client.post("/fhir", json=bundle, headers=FHIR_JSON)
    told = answer.json()["entry"][0]["response"]["status"] if kind == "batch" else str(answer.status_code)
    assert told.startswith("412")
