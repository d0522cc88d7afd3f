"""Conditional headers hold on every interaction that has them.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#cread
"""

from __future__ import annotations

import pytest

from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

BODY = b'{"resourceType":"Patient","id":"p","active":true}'


async def _twice(served: Served) -> None:
    """Versions 1 and 2."""
    for active in (b"false", b"true"):
        await served.client.put("/fhir/Patient/p", content=BODY.replace(b"true", active), headers=FHIR_JSON)


@pytest.mark.parametrize("path", ["/fhir/Patient/p", "/fhir/Patient/p/_history/2"])
@pytest.mark.parametrize(
    ("tags", "status"),
    [
        ('W/"2"', 304),
        ('"2"', 304),
        ('W/"1", W/"2"', 304),
        ('W/"foreign","2"', 304),
        ("*", 304),
        ('W/"1"', 200),
        ('W/"02"', 200),
        ('"foreign"', 200),
        ('W/"99999999999999999999999"', 200),
        ("2", 200),
        ("", 200),
    ],
)
async def test_if_none_match_on_a_read(served: Served, path: str, tags: str, status: int) -> None:
    """304 without a body, but with the ETag, where the client names what it would get."""
    await _twice(served)
    for method in ("GET", "HEAD"):
        answer = await served.client.request(method, path, headers={"If-None-Match": tags})
        assert (answer.status_code, answer.headers["etag"]) == (status, 'W/"2"')
        assert not answer.content or status == 200


async def test_if_modified_since_on_a_read(served: Served) -> None:
    """In whole seconds, in any form of HTTP date; nonsense is ignored, and If-None-Match goes before it."""
    await _twice(served)
    then = (await served.client.get("/fhir/Patient/p")).headers["last-modified"]
    for since, status in (
        (then, 304),
        ("Sun, 01 Jan 2090 00:00:00 GMT", 304),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 200),
        ("Sun Nov  6 08:49:37 1994", 200),
        ("yesterday", 200),
        ("", 200),
        ("x" * 5000, 200),
    ):
        answer = await served.client.get("/fhir/Patient/p", headers={"If-Modified-Since": since})
        assert answer.status_code == status, since
    both = {"If-None-Match": 'W/"1"', "If-Modified-Since": then}
    assert (await served.client.get("/fhir/Patient/p", headers=both)).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(
    ("tags", "fits"),
    [('W/"2"', True), ('"2"', True), ('W/"1", W/"2"', True), ("*", True), ('W/"1", W/"3"', False), ('"x"', False)],
)
async def test_if_match_on_a_write(served: Served, method: str, tags: str, fits: bool) -> None:
    """A list fits if the current version is in it; `*` fits whatever there is."""
    await _twice(served)
    content = BODY if method == "PUT" else None
    answer = await served.client.request(
        method, "/fhir/Patient/p", content=content, headers=FHIR_JSON | {"If-Match": tags}
    )
    assert answer.status_code == ((200 if method == "PUT" else 204) if fits else 412)
    if not fits:
        assert answer.headers["etag"] == 'W/"2"'
        assert answer.json()["issue"][0]["code"] == "conflict"


async def test_if_match_comes_in_several_lines(served: Served) -> None:
    """They are one list."""
    await _twice(served)
    lines = [*FHIR_JSON.items(), ("If-Match", 'W/"1"'), ("If-Match", 'W/"2"')]
    assert (await served.client.put("/fhir/Patient/p", content=BODY, headers=lines)).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_star_fits_only_what_exists(served: Served, method: str) -> None:
    """Neither what never was nor what is deleted; the tombstone's own tag still does."""
    content = BODY if method == "PUT" else None
    starred = FHIR_JSON | {"If-Match": "*"}
    assert (await served.client.request(method, "/fhir/Patient/p", content=content, headers=starred)).status_code == 412
    await _twice(served)
    await served.client.delete("/fhir/Patient/p")
    assert (await served.client.request(method, "/fhir/Patient/p", content=content, headers=starred)).status_code == 412
    tombstone = FHIR_JSON | {"If-Match": 'W/"3"'}
    assert (await served.client.request(method, "/fhir/Patient/p", content=content, headers=tombstone)).is_success


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("value", ["2", 'w/"2"', 'W/2"', "W/2", '"2', "", ",", '*, W/"2"', '"1" "2"'])
async def test_what_is_no_etag_is_400_and_changes_nothing(served: Served, header: str, value: str) -> None:
    """A condition that cannot be read must not be passed over."""
    answer = await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON | {header: value})
    assert answer.status_code == 400
    assert header in answer.json()["issue"][0]["diagnostics"]
    assert (await served.client.get("/fhir/Patient/p")).status_code == 404


async def test_if_none_match_star_creates_but_never_updates(served: Served) -> None:
    """201 for the first, 412 for the second; after a deletion it may be created again."""
    once = FHIR_JSON | {"If-None-Match": "*"}
    assert (await served.client.put("/fhir/Patient/p", content=BODY, headers=once)).status_code == 201
    again = await served.client.put("/fhir/Patient/p", content=BODY, headers=once)
    assert (again.status_code, again.headers["etag"]) == (412, 'W/"1"')
    await served.client.delete("/fhir/Patient/p")
    assert (await served.client.put("/fhir/Patient/p", content=BODY, headers=once)).status_code == 201


async def test_if_none_match_on_a_put_is_judged_by_the_truth(served: Served) -> None:
    """A process that remembers another version looks again before it refuses."""
    async with serving(objects=served.meter) as other:
        await other.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        await served.client.delete("/fhir/Patient/p")
        once = FHIR_JSON | {"If-None-Match": "*"}
        assert (await other.client.put("/fhir/Patient/p", content=BODY, headers=once)).status_code == 201


async def test_an_identical_put_makes_no_version_where_that_is_switched_on() -> None:
    """FHIRSTORE_SKIP_UNCHANGED: 200, the same ETag and bytes, 1 GET; member order and meta do not count, digits do."""
    body = b'{"resourceType":"Basic","id":"b","code":{"text":"x"},"extension":[{"url":"u","valueDecimal":1.0}]}'
    other_order = b'{"id":"b","resourceType":"Basic","meta":{"versionId":"9","lastUpdated":"2020-01-01T00:00:00Z"},'
    other_order += body.split(b",", 2)[2]
    async with serving(Settings(skip_unchanged=True)) as served:
        first = await served.client.put("/fhir/Basic/b", content=body, headers=FHIR_JSON)
        for same in (body, other_order, first.content):
            with served.meter.measure() as cost:
                again = await served.client.put("/fhir/Basic/b", content=same, headers=FHIR_JSON)
            assert (again.status_code, again.headers["etag"], again.content) == (200, 'W/"1"', first.content)
            assert cost.requests == {"GET": 1}
        stale = await served.client.put("/fhir/Basic/b", content=body, headers=FHIR_JSON | {"If-Match": 'W/"7"'})
        assert stale.status_code == 412
        digits = await served.client.put("/fhir/Basic/b", content=body.replace(b"1.0", b"1.00"), headers=FHIR_JSON)
        assert digits.headers["etag"] == 'W/"2"'
        await served.client.delete("/fhir/Basic/b")
        back = await served.client.put("/fhir/Basic/b", content=body, headers=FHIR_JSON)
        assert (back.status_code, back.headers["etag"]) == (201, 'W/"4"')


async def test_a_large_unchanged_resource_is_read_before_it_counts_as_unchanged() -> None:
    """What a process remembers of a resource may lack its content."""
    body = b'{"resourceType":"Basic","id":"b","code":{"text":"%s"}}' % (b"x" * 10_000)
    async with serving(Settings(skip_unchanged=True)) as served:
        for etag, content in (("1", body), ("1", body), ("2", body.replace(b"xx", b"yy"))):
            answer = await served.client.put("/fhir/Basic/b", content=content, headers=FHIR_JSON)
            assert answer.headers["etag"] == f'W/"{etag}"'


async def test_by_default_every_put_makes_a_version(served: Served) -> None:
    """As the specification has it."""
    for version in (1, 2):
        answer = await served.client.put("/fhir/Patient/p", content=BODY, headers=FHIR_JSON)
        assert answer.headers["etag"] == f'W/"{version}"'
