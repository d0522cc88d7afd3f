"""Accept, `_format` and Content-Type choose the form of a body as https://hl7.org/fhir/R4/http.html#mime-type says."""

from __future__ import annotations

import pytest

from server.content.media import MediaType, announced, named, negotiate
from server.settings import Settings
from tests.server.serving import FHIR_JSON, Served, serving

JSON, XML = "application/fhir+json", "application/fhir+xml"
BODY = b'{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}'


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", "text/json"),
        (JSON, JSON),
        (XML, XML),
        ("application/json", "application/json"),
        ("text/xml", "text/xml"),
        ("application/xml+fhir", "application/xml+fhir"),
        (f"{JSON}, {XML}", JSON),
        (f"{XML}, {JSON}", JSON),
        (f"{JSON};q=0.5, {XML}", XML),
        (f"{JSON};q=0.500, {XML};q=0.501", XML),
        (f"{XML}, */*", XML),
        (f"{XML}, */*;q=0.8", XML),
        (f"{JSON};q=0, */*", XML),
        (f"{JSON};q=0, application/*;q=0.1", XML),
        (f"{XML};q=0, {JSON};q=0", None),
        (f"{JSON};q=0", None),
        (f"{JSON};q=high", None),
        ("text/html", None),
        ("text/turtle", None),
        ("", None),
        (",,;q=1", None),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/xml"),
        ("text/html, */*;q=0.1", JSON),
        (f"{JSON.upper()}; CHARSET=UTF-8", JSON),
        (f'{JSON}; charset="utf-8"; q="0.9"', JSON),
        (f'{JSON}; profile="a,b;q=0", text/plain', JSON),
        (f"{JSON}; fhirVersion=3.0", None),
        (f"{JSON}; fhirVersion=3.0, {XML}; fhirVersion=4.0;q=0.1", XML),
        (f"*/*; fhirVersion=5.0, {XML};q=0.2", XML),
        (f"{JSON}; charset=iso-8859-1", None),
        (f"{JSON}; charset=iso-8859-1, {XML};q=0.2", XML),
    ],
)
def test_accept_chooses_by_quality_then_closeness(accept: str, chosen: str | None) -> None:
    """What is named wins over what is merely included, and JSON over XML where the client does not care."""
    media = negotiate(accept, "4.0")
    assert (media.name if media else None) == chosen


def test_a_release_that_was_asked_for_is_told() -> None:
    """`fhirVersion` in Accept or `_format` comes back in the Content-Type, whichever way it was written."""
    told = "application/fhir+json; charset=utf-8; fhirVersion=4.0"
    for media in (
        negotiate(f"{JSON}; fhirVersion=4.0.1", "4.0"),
        named("application/fhir json;fhirVersion=4.0", "4.0"),
    ):
        assert media is not None and media.content_type == told


@pytest.mark.parametrize(
    ("format_", "chosen"),
    [
        ("json", JSON),
        ("xml", XML),
        ("application/fhir+json", JSON),
        ("application/fhir json", JSON),
        ("text/json", JSON),
        ("application/xml", XML),
        ("text/xml", XML),
        ("XML", XML),
        ("html", None),
        ("text/html", None),
        ("ttl", None),
        ("", None),
        ("json; fhirVersion=3.0", None),
    ],
)
def test_format_names_a_form(format_: str, chosen: str | None) -> None:
    """Short names and media types; an unescaped plus is a space by the time it arrives."""
    media = named(format_, "4.0")
    assert (media.name if media else None) == chosen


def test_a_content_type_must_be_fhir_in_utf8_of_this_release() -> None:
    """Otherwise a text says what is wrong."""
    assert announced("Application/FHIR+XML; charset=UTF-8", "4.0") == MediaType(XML)
    assert announced("application/fhir+json;fhirVersion=4.0", "4.0") == MediaType(JSON)
    for wrong in ("", "text/plain", "application/json; charset=latin-1", "application/json; fhirVersion=5.0"):
        assert isinstance(announced(wrong, "4.0"), str)


@pytest.mark.parametrize(
    ("accept", "sent"), [(XML, XML), ("application/xml", "application/xml"), ("text/xml", "text/xml")]
)
async def test_a_read_gives_the_form_that_is_asked_for(served: Served, accept: str, sent: str) -> None:
    """Under the name it was asked by; the version is the same, and so is its tag."""
    await served.client.put("/fhir/Observation/o", content=BODY, headers=FHIR_JSON)
    answer = await served.client.get("/fhir/Observation/o", headers={"Accept": accept})
    assert answer.headers["content-type"] == f"{sent}; charset=utf-8"
    assert answer.headers["etag"] == 'W/"1"'
    assert b'<value value="1.00"/>' in answer.content
    assert "Accept" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("url", "accept"),
    [
        ("?_format=html", "*/*"),
        ("?_format=ttl", "*/*"),
        ("", "text/html"),
        ("", "application/fhir+json;q=0, text/*;q=0"),
    ],
)
async def test_no_acceptable_form_is_406_before_anything_is_read(served: Served, url: str, accept: str) -> None:
    """And the outcome, in JSON, says what there is."""
    with served.meter.measure() as cost:
        answer = await served.client.get(f"/fhir/Observation/o{url}", headers={"Accept": accept})
    assert (answer.status_code, cost.requests) == (406, {})
    assert JSON in answer.json()["issue"][0]["diagnostics"]


async def test_an_empty_accept_says_nothing(served: Served) -> None:
    """The header is a list, and a list may be empty; so is answered as without it."""
    assert (await served.client.get("/fhir/metadata", headers={"Accept": ""})).status_code == 200
    latin = {"_format": f"{JSON}; charset=iso-8859-1"}
    assert (await served.client.get("/fhir/metadata", params=latin)).status_code == 406


@pytest.mark.parametrize("path", ["/fhir/metadata", "/fhir/Patient", "/fhir/_history", "/fhir/Patient/p"])
@pytest.mark.parametrize(
    "twice", ["_format=json&_format=xml", "_pretty=true&_pretty=true", "_elements=id&_elements=name"]
)
async def test_a_form_is_asked_for_once(served: Served, path: str, twice: str) -> None:
    """400 where a parameter comes twice: neither of its values can be the one that was meant."""
    answer = await served.client.get(f"{path}?{twice}")
    assert answer.status_code == 400
    assert twice.partition("=")[0] in answer.json()["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/fhir/Patient/none"),
        ("GET", "/fhir/Nothing/x"),
        ("POST", "/fhir/Patient/p"),
        ("GET", "/fhir/a/b/c/d/e"),
    ],
)
async def test_outcomes_come_in_the_form_that_is_asked_for(served: Served, method: str, url: str) -> None:
    """Errors, too: of the library, of the route table, of the path."""
    answer = await served.client.request(method, url, headers={"Accept": XML})
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert answer.text.startswith(
        '<?xml version="1.0" encoding="UTF-8"?><OperationOutcome xmlns="http://hl7.org/fhir">'
    )


async def test_pretty_is_indented_and_says_the_same(served: Served) -> None:
    """JSON and XML; every number as it was written."""
    plain = await served.client.put("/fhir/Observation/o", content=BODY, headers=FHIR_JSON)
    pretty = await served.client.get("/fhir/Observation/o?_pretty=true")
    assert pretty.json() == plain.json()
    assert '\n  "valueQuantity": {\n    "value": 1.00\n  }' in pretty.text
    assert (
        '\n    <value value="1.00"/>' in (await served.client.get("/fhir/Observation/o?_pretty=true&_format=xml")).text
    )
    assert (await served.client.get("/fhir/Observation/o?_pretty=false")).content == plain.content
    assert (await served.client.get("/fhir/Observation/o?_pretty=yes")).status_code == 400


async def test_summaries_and_elements_are_marked(served: Served) -> None:
    """Only what is asked for and what cannot be left out, with the tag SUBSETTED; in histories, each entry."""
    await served.client.put("/fhir/Observation/o", content=BODY, headers=FHIR_JSON)
    part = (await served.client.get("/fhir/Observation/o?_elements=code")).json()
    assert set(part) == {"resourceType", "id", "meta", "status", "code"}
    assert part["meta"]["tag"][0]["code"] == "SUBSETTED"
    bundle = (await served.client.get("/fhir/Observation/_history?_summary=text")).json()
    assert set(bundle["entry"][0]["resource"]) == {"resourceType", "id", "meta", "status", "code"}
    assert (await served.client.get("/fhir/Observation/o?_summary=false")).json()["valueQuantity"]
    for wrong in ("_summary=some", "_summary=count", "_summary=true&_elements=id", "_elements=a,,b"):
        assert (await served.client.get(f"/fhir/Observation/o?{wrong}")).status_code == 400, wrong


async def test_a_write_that_has_no_such_form_is_still_told_as_done() -> None:
    """Where XML cannot say what was stored, the answer is brief; a read of it says why, with 406."""
    unsayable = BODY.replace(b'"x"', b'"\\u0001"')
    async with serving(Settings(validation="off")) as served:
        answer = await served.client.put("/fhir/Observation/o?_format=xml", content=unsayable, headers=FHIR_JSON)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (201, b"", 'W/"1"')
        answer = await served.client.get("/fhir/Observation/o?_format=xml")
        assert answer.status_code == 406
        assert "Observation.code.text" in answer.text


async def test_a_bundle_that_is_done_is_answered_in_some_form() -> None:
    """With an outcome in place of a resource that has no XML; what cannot be answered at all is refused before."""
    entry = b'{"resource":%s,"request":{"method":"PUT","url":"Observation/o"}}' % BODY.replace(b'"x"', b'"\\u0001"')
    batch = b'{"resourceType":"Bundle","type":"transaction","entry":[%s]}' % entry
    async with serving(Settings(validation="off")) as served:
        refused = await served.client.post("/fhir?_summary=count", content=batch, headers=FHIR_JSON)
        assert refused.status_code == 400
        assert (await served.client.get("/fhir/Observation/o")).status_code == 404
        whole = FHIR_JSON | {"Prefer": "return=representation"}
        answer = await served.client.post("/fhir?_format=xml", content=batch, headers=whole)
        assert answer.status_code == 200
        assert b'<type value="transaction-response"/>' in answer.content
        assert b"Observation/o has no XML form" in answer.content


@pytest.mark.parametrize("release", ["4.0", "4.3", "5.0"])
async def test_a_server_speaks_its_own_release(release: str) -> None:
    """The CapabilityStatement names it; asking for another is 406, sending another 415."""
    other = {"4.0": "4.3", "4.3": "5.0", "5.0": "4.0"}[release]
    async with serving(Settings(fhir_version=release)) as served:
        told = (await served.client.get("/fhir/metadata", headers={"Accept": f"{JSON}; fhirVersion={release}"})).json()
        assert told["fhirVersion"].startswith(release)
        asked = await served.client.get("/fhir/metadata", headers={"Accept": f"{JSON}; fhirVersion={other}"})
        assert (asked.status_code, release in asked.json()["issue"][0]["diagnostics"]) == (406, True)
        body = b'{"resourceType":"Patient"}'
        sent = {"Content-Type": f"{JSON}; fhirVersion={other}"}
        assert (await served.client.post("/fhir/Patient", content=body, headers=sent)).status_code == 415
        sent = {"Content-Type": f"{JSON}; fhirVersion={release}"}
        assert (await served.client.post("/fhir/Patient?_format=xml", content=body, headers=sent)).status_code == 201


READS = (
    "/Observation/o /Observation/o/_history/1 /Observation/o/_history /Observation/_history /_history "
    "/Observation?_id=o ?_type=Observation /metadata /Observation/none /Nothing/o"
)


@pytest.mark.parametrize("path", READS.split())
async def test_head_says_what_get_would(served: Served, path: str) -> None:
    """On every read: the same status and headers, but for ids and times of the answer itself."""
    await served.client.put("/fhir/Observation/o", content=BODY, headers=FHIR_JSON)
    get, head = [await served.client.request(method, f"/fhir{path}") for method in ("GET", "HEAD")]
    own = {"x-request-id", "content-length", "date"}
    assert head.status_code == get.status_code
    assert {n: v for n, v in head.headers.items() if n not in own} == {
        n: v for n, v in get.headers.items() if n not in own
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "Observation"),
        ("PUT", "Observation/o"),
        ("PUT", "Observation?_id=o"),
        ("PUT", "Binary/b"),
        ("PATCH", "Observation/o"),
    ],
)
async def test_a_count_is_no_answer_to_a_write(served: Served, method: str, path: str) -> None:
    """400 before anything is written."""
    mark = "&" if "?" in path else "?"
    with served.meter.measure() as cost:
        answer = await served.client.request(
            method, f"/fhir/{path}{mark}_summary=count", content=BODY, headers=FHIR_JSON
        )
    assert (answer.status_code, cost.requests) == (400, {})
