"""Requests that hold the processor: one each, of legal size."""

# ruff: noqa: UP031, E501 - JSON is full of braces, which a percent sign leaves alone; a request, a line

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from conformance.abuse import bodies
from conformance.abuse.target import FHIR_JSON, FHIR_XML, FORM, Target

Act: TypeAlias = Callable[[], str]
"""Does it, and tells how it was answered."""

_JSON_PATCH = {"Content-Type": "application/json-patch+json"}
_LISTED = 60_000  # bytes of a header, or a URL: less than what servers take at most
_STORED = "Patient/abuse"
_LARGE = "Bundle/abuse"


@dataclass(frozen=True, slots=True)
class Abuse:
    """`prepare` makes what is to be sent, which is not measured, and gives what is."""

    name: str
    prepare: Callable[[Target], Act]


def prepared(target: Target) -> None:
    """Store what some of the requests ask for."""
    target.send("PUT", f"/{_STORED}", bodies.patient('"active":true', "abuse"), FHIR_JSON)
    target.send("PUT", f"/{_LARGE}", bodies.large_bundle(bodies.LIMIT - 65_536), FHIR_JSON)
    names = bodies.numbered(20_000, '{"family":"a","given":["b","c"]}')
    target.send("PUT", "/Patient/abuse-names", bodies.patient(f'"name":[{names}]', "abuse-names"), FHIR_JSON)


def _request(
    name: str,
    method: str,
    path: str,
    body: Callable[[], bytes] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Abuse:
    def prepare(target: Target) -> Act:
        content = None if body is None else body()
        return partial(target.send, method, path, content, headers)

    return Abuse(name, prepare)


def _created(name: str, body: Callable[[], bytes], headers: Mapping[str, str] = FHIR_JSON) -> Abuse:
    return _request(name, "POST", "/Patient", body, headers)


def _validated(name: str, body: Callable[[], bytes]) -> Abuse:
    return _request(name, "POST", "/Patient/$validate", body, FHIR_JSON)


def _searched(name: str, value: Callable[[], str]) -> Abuse:
    def form() -> bytes:
        return b"identifier=" + value().encode()

    return _request(name, "POST", "/Patient/_search", form, FORM)


def _patched(name: str, body: Callable[[], bytes], headers: Mapping[str, str], path: str = _STORED) -> Abuse:
    return _request(name, "PATCH", f"/{path}", body, headers)


def _headed(name: str, header: str, value: str, path: str = f"/{_STORED}", method: str = "GET") -> Abuse:
    return _request(name, method, path, None if method == "GET" else _small, {**FHIR_JSON, header: value})


def _small() -> bytes:
    return bodies.patient('"active":true', "abuse")


def _array(name: str, items: bytes) -> Callable[[], bytes]:
    return lambda: bodies.repeated(b'{"resourceType":"Patient","%s":[' % name.encode(), items, b"]}")


_PATCHES = (
    _patched("JSON Patch: 60 copies of /a into itself", bodies.doubling_json_patch, _JSON_PATCH),
    _patched("JSON Patch: 9,999 items before 500,000", bodies.shifting_json_patch, _JSON_PATCH),
    _patched("JSON Patch: one value of 16 MB", lambda: bodies.repeated(
        b'[{"op":"add","path":"/a","value":[', b'"12345678"', b"]}]"), _JSON_PATCH),
    _patched("Merge Patch of 16 MB", _array("a", b'"0123456789abcdef"'),
             {"Content-Type": "application/merge-patch+json"}),
    _patched("FHIRPath Patch: 1,000 x where() over 20,000 names", bodies.searching_fhirpath_patch, FHIR_JSON,
             "Patient/abuse-names"),
)  # fmt: skip
_SEARCHES = (
    _searched("_search form: 1,000,000 values", lambda: bodies.numbered(1_000_000, "s|#")),
    _searched("_search form: 8 MB of backslashes", lambda: "\\" * 8_000_000),
    _searched("_search form: one value of 16 MB", lambda: "a" * (bodies.LIMIT - 20)),
    _searched("_search form: 5,000,000 escapes", lambda: "%61" * 5_000_000),
    _request("_search form: 4,000,000 parameters", "POST", "/Patient/_search",
             lambda: bodies.repeated(b"", b"a=1", b"", separator=b"&"), FORM),
    _request("_search form: 1,000 _lastUpdated x 1,000 values", "POST", "/Patient/_search",
             lambda: "&".join(["_lastUpdated=" + ",".join(["gt2020"] * 1_000)] * 1_000).encode(), FORM),
    _request("Query of 60 KB", "GET", "/Patient?identifier=" + bodies.numbered(10_000, "#")),
    _request("_elements of 60 KB", "GET", f"/{_STORED}?_elements=" + ",".join(["name"] * (_LISTED // 5))),
    _request("_type of 60 KB", "GET", "/?_type=" + ",".join(["Patient"] * (_LISTED // 8))),
)  # fmt: skip
_JSON = (
    _created("JSON: 8 MB of backslashes in a string", lambda: bodies.patient('"x":"%s"' % ("\\" * 8_000_000))),
    _created("JSON: 8 MB of backslashes, text", lambda: bodies.patient(
        '"text":{"status":"generated","div":"%s"}' % ("\\" * 8_000_000))),
    _created("JSON: 330,000 unknown elements", lambda: bodies.patient(bodies.numbered(330_000, '"a#":1'))),
    _created("JSON: 900,000 wrong values", lambda: bodies.patient('"name":[{"given":[%s]}]' % ",".join(["1"] * 900_000))),
    _created("JSON: 16 MB of values", _array("a", b"1")),
    _created("JSON: 990,000 numbers in 16 MB", lambda: bodies.patient('"a":[%s]' % ",".join(["1.0e10"] * 990_000))),
    _created("JSON: 490,000 empty objects", lambda: bodies.patient('"a":[%s]' % ",".join(["{}"] * 490_000))),
    _created("JSON: 16 MB of brackets", lambda: bodies.patient('"a":' + "[" * 16_000_000)),
    _created("JSON: 900,000 x -0", lambda: bodies.patient('"a":[%s]' % ",".join(["-0"] * 900_000))),
    _created("JSON: integers of 5,000 digits", _array("a", b"1" * 5_000)),
    _created("JSON: 900,000 escaped colons", lambda: bodies.patient('"a":[%s]' % ",".join([r'"\u003a"'] * 900_000))),
    _created("JSON: 450,000 members, escaped colons", lambda: bodies.patient(bodies.numbered(450_000, r'"\u003a#":"é"'))),
    _created("JSON: 16 MB of quotes and brackets", lambda: bodies.patient('"a":["' + '"["]' * 4_000_000)),
    _created("JSON: 1,000,000 quotes escaped, brackets", lambda: bodies.patient('"a":["%s"]' % (r"\"[" * 5_000_000))),
    _created("JSON: 300,000 extensions", _array("extension", b'{"url":"http://a.b/c","valueString":"0123456789abcdef"}')),
    _created("JSON: 150,000 extensions, each in an odd way", lambda: bodies.patient('"extension":[%s]' % ",".join(
        ['{"url":"http://a.b/c","_valueString":{"extension":[{"url":"a","valueCode":"b"}]}}'] * 150_000))),
    _created("JSON: string of 16 MB", lambda: bodies.patient('"a":"%s"' % ("a" * 16_000_000))),
    _created("JSON: 16 MB of identifiers", _array("identifier", b'{"system":"urn:xyz","value":"123456789012345678901234"}')),
    _created("gzip: 16 MB of zeros", bodies.zipped, {**FHIR_JSON, "Content-Encoding": "gzip"}),
)  # fmt: skip
_NARRATIVES = (
    _created("Narrative: 100,000 links", lambda: bodies.narrative('<a href="http://example.org/">x</a>' * 100_000)),
    _created("Narrative: 16 MB of paragraphs, odd", lambda: bodies.narrative("<p>&#160;é<br/></p>" * 700_000)),
    _created("Narrative: 15 MB of spans nested 5 deep", lambda: bodies.narrative(
        "<div><p><span><b><i>x</i></b></span></p></div>" * 320_000)),
    _created("Narrative: 2,000,000 elements nested", lambda: bodies.narrative("<b>" * 2_000_000 + "</b>" * 2_000_000)),
    _created("Narrative: 7 MB of unclosed elements", lambda: bodies.narrative("<p><b>" * 1_200_000)),
    _created("Narrative: 10 MB of attributes", lambda: bodies.narrative(
        '<a href="data:text/html,x" onclick="y">x</a>' * 220_000)),
    _request("Transaction: 100,000 links in a narrative", "POST", "/", lambda: bodies.linked_transaction(100_000),
             FHIR_JSON),
)  # fmt: skip
_XML = (
    _created("XML: 1,300,000 attributes", lambda: bodies.xml_patient(
        ("<active %s/>" % bodies.numbered(1_300_000, 'a#="1"', " ")).encode()), FHIR_XML),
    _created("XML: 16 MB of elements", lambda: bodies.xml_patient(
        bodies.repeated(b"<name>", b'<given value="a"/>', b"</name>", separator=b"")), FHIR_XML),
    _created("XML: 16 MB of extensions", lambda: bodies.xml_patient(bodies.repeated(
        b"", b'<extension url="a"><valueString value="b"/></extension>', b"", separator=b"")), FHIR_XML),
    _created("XML: one attribute of 16 MB", lambda: bodies.xml_patient(
        b'<active value="' + b"&#65;" * 3_200_000 + b'"/>'), FHIR_XML),
    _created("XML: 16 MB of comments", lambda: bodies.xml_patient(b"<!--a-->" * 2_000_000), FHIR_XML),
    _created("XML: 15 MB of narrative", lambda: bodies.xml_patient(
        b'<text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">'
        + b"<p>a</p>" * 1_900_000 + b"</div></text>"), FHIR_XML),
)  # fmt: skip
_BUNDLES = (
    _request("Batch: 5,000 x read of what is not there", "POST", "/",
             lambda: bodies.bundle("batch", bodies.requests(5_000, "GET", "Patient/x#")), FHIR_JSON),
    _request("Transaction: 5,000 Observations", "POST", "/",
             lambda: bodies.transaction_of_observations(5_000), FHIR_JSON),
    _request("Transaction: 100,000 entries", "POST", "/",
             lambda: bodies.bundle("transaction", bodies.requests(100_000, "DELETE", "Patient/x#")), FHIR_JSON),
    _request("PUT of a Bundle of 16 MB", "PUT", f"/{_LARGE}", bodies.large_bundle, FHIR_JSON),
)  # fmt: skip
_FORMS = (
    _request("GET of a Bundle of 16 MB", "GET", f"/{_LARGE}"),
    _request("The same, _pretty", "GET", f"/{_LARGE}?_pretty=true"),
    _request("The same, _summary", "GET", f"/{_LARGE}?_summary=true"),
    _request("The same, _elements", "GET", f"/{_LARGE}?_elements=entry"),
    _request("The same, XML", "GET", f"/{_LARGE}?_format=xml"),
    _request("The same, gzip", "GET", f"/{_LARGE}", None, {"Accept-Encoding": "gzip"}),
    _request("The same, br", "GET", f"/{_LARGE}", None, {"Accept-Encoding": "br"}),
    _request("History of it, XML", "GET", f"/{_LARGE}/_history?_format=xml"),
    _request("Search for it, _summary", "GET", "/Bundle?_id=abuse&_summary=true"),
    _request("Batch: 5 x read of it with _summary", "POST", "/",
             lambda: bodies.bundle("batch", bodies.requests(5, "GET", f"{_LARGE}?_summary=true")), FHIR_JSON),
)  # fmt: skip
_HEADERS = (
    _headed("If-Match of 60 KB", "If-Match", ",".join([f'W/"{n}"' for n in range(6_000)]), method="PUT"),
    _headed("If-None-Match of 60 KB", "If-None-Match", ",".join(['W/"1"'] * (_LISTED // 6))),
    _headed("Accept of 60 KB", "Accept", ",".join(["a/b;q=0.1"] * (_LISTED // 10))),
    _headed("Accept of 60 KB of quotes", "Accept", "\"\\" * (_LISTED // 2)),
    _headed("Accept-Encoding of 60 KB", "Accept-Encoding", ",".join(["gzip;q=0.1"] * (_LISTED // 11))),
    _headed("Prefer of 60 KB", "Prefer", ",;" * (_LISTED // 2)),
    _headed("Content-Type of 60 KB", "Content-Type", "application/fhir+json" + ";a=b" * (_LISTED // 4), method="PUT"),
    _headed("If-None-Exist of 60 KB", "If-None-Exist", "identifier=" + ",".join(["a"] * (_LISTED // 2)), "/Patient",
            "POST"),
    _headed("Forwarded of 60 KB", "Forwarded", ",".join(["for=1.2.3.4"] * (_LISTED // 12))),
)  # fmt: skip
_VALIDATIONS = (
    _validated("$validate: 20,000 names", lambda: bodies.patient(
        '"name":[%s]' % bodies.numbered(20_000, '{"family":"a","given":["b","c"]}'))),
    _validated("$validate: 5,000 contained", lambda: bodies.patient(
        '"contained":[%s]' % bodies.numbered(5_000, '{"resourceType":"Patient","id":"p#"}'))),
    _validated("$validate: 330,000 unknown elements", lambda: bodies.patient(bodies.numbered(330_000, '"a#":1'))),
)  # fmt: skip

_LONG_WORK = (
    _request("Batch: 5,000 x _summary=count", "POST", "/",
             lambda: bodies.bundle("batch", bodies.requests(5_000, "GET", "Patient?_summary=count")), FHIR_JSON),
)  # fmt: skip

WORK = (
    *_PATCHES, *_SEARCHES, *_JSON, *_NARRATIVES, *_XML, *_BUNDLES, *_FORMS, *_HEADERS, *_VALIDATIONS, *_LONG_WORK,
)  # fmt: skip
