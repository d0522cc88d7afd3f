"""Hostile requests as bytes, drawn from a seed: paths, queries, headers, framings, methods, bodies, and garbage."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from conformance.hostile.documents import bundle, encoded, patch, resource, xml

_METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "PROPFIND",
    "get",
    "M-SEARCH",
)
_SEGMENTS = (
    "Patient",
    "Observation",
    "Binary",
    "hostile-1",
    "..",
    ".",
    "%2e%2e",
    "%2f",
    "%00",
    "%c0%ae%c0%ae",
    "%zz",
    "%",
    "_history",
    "_history/999999999999999999999",
    "_search",
    "$validate",
    "$export",
    "$purge",
    "$everything",
    "$jobs",
    "$nonsense",
    "_export/x/y",
    "metadata",
    "a" * 65,
    "a" * 8_000,
    "\u00e9\U0001f600",
    "Patient;x=1",
    "\\..\\",
    "*",
    "",
    "current.json",
    "tx",
    "'\"<>",
)
_NAMES = (
    "_id",
    "_lastUpdated",
    "identifier",
    "_count",
    "_cursor",
    "_page",
    "_sort",
    "_include",
    "_revinclude",
    "_has:Observation:patient:code",
    "_total",
    "_format",
    "_pretty",
    "_summary",
    "_elements",
    "_since",
    "_at",
    "_type",
    "_typeFilter",
    "_outputFormat",
    "_attachments",
    "name:exact",
    "name:nonsense",
    "[]",
    "",
    "__proto__",
)
_VALUES = (
    "",
    "-1",
    "0",
    "9" * 40,
    "1e9",
    "ge9999-99-99",
    "ap0000",
    "2020-01-01T00:00:00+99:99",
    "||||",
    "urn:hostile|1",
    "%00",
    "%ff%fe",
    "*",
    "a," * 3_000,
    "\\,\\$\\|\\",
    "Patient?_id=1%26x=y",
    "../../..",
    "'; DROP TABLE objects; --",
    "${jndi:ldap://x}",
    "x" * 9_000,
)
_HEADERS: Mapping[str, tuple[str, ...]] = {
    "Accept": (
        "*/*",
        "application/fhir+xml",
        "text/html;q=9",
        ",,,;",
        "application/fhir+json;fhirVersion=9",
        "a/b," * 2_000,
    ),
    "Accept-Encoding": ("gzip;q=nan", "br, gzip, *;q=0", "identity;q=0, *;q=0", ";" * 500),
    "Content-Type": (
        "application/fhir+json",
        "text/plain",
        "application/json; charset=utf-16",
        "x",
        "multipart/form-data",
        ";;;",
    ),
    "If-Match": ('W/"1"', "*", '"', 'W/"' + "9" * 40 + '"', ",".join(['W/"1"'] * 2_000)),
    "If-None-Match": ('W/"1"', "*", "x"),
    "If-None-Exist": ("identifier=urn:hostile|1", "_id=x&_id=y", "", "identifier=" + "x" * 9_000, "?&=%00"),
    "If-Modified-Since": ("Thu, 99 Foo 2020 99:99:99 GMT", "0", "x" * 500),
    "Prefer": ("return=minimal", "respond-async", "return=nonsense", "handling=strict," * 300, '"'),
    "Range": ("bytes=0-", "bytes=-1", "bytes=5-1", "bytes=0-1," * 500, "lines=1-2", "bytes=" + "9" * 40 + "-"),
    "X-Tenant-ID": ("other", "../default", "default\tx", "D", "x" * 300),
    "Forwarded": ("for=1.2.3.4;host=evil.example;proto=https", 'for="', "for=_x," * 300),
    "X-Forwarded-Host": ("evil.example", "evil.example, evil2", "\xe9"),
    "X-Forwarded-For": ("1.2.3.4," * 200, "::", "x"),
    "X-Request-Id": ("\t", "x" * 500, "\xe9", "a b"),
    "Idempotency-Key": ("k", "k" * 5_000, '"', "\xe9"),
    "Authorization": ("Bearer x", "Bearer " + "a." * 9_000, "Basic Og==", "Bearer eyJhbGciOiJub25lIn0.e30."),
    "Expect": ("100-continue", "200-ok"),
    "Cookie": ("a=b;" * 1_000,),
    "Transfer-Encoding": ("chunked", "gzip, chunked", "identity"),
    "X-HTTP-Method-Override": ("DELETE",),
    "Digest": ("sha-256=x",),
}
_FRAMINGS = (
    "Content-Length: 5\r\nContent-Length: 6\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: -1\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length: 99999999999999999999999\r\n",
    "Content-Length : 5\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "X: a\r\n b\r\n",
    "X: a\nContent-Length: 5\r\n",
    "X\0: a\r\n",
    ": a\r\n",
    "X: \0\r\n",
    "Host: other\r\n",
)
_CHUNKS = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"ffffffffffffffffff\r\nhello",
    b"5;" + b"x" * 70_000 + b"\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5\r\nhelloX0\r\n\r\n",
    b"1\r\n{\r\n" * 2_000 + b"0\r\n\r\n",
)
_GARBAGE = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
    b"GET /\r\n",
    b"GET  /fhir/metadata  HTTP/1.1\r\n\r\n",
    b"GET /fhir/metadata HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"\r\n" * 5_000,
    b"GET http://evil.example/fhir/metadata HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /fhir/metadata HTTP/1.1\r\n\r\n",
    b"{" * 10_000,
)


@dataclass(frozen=True, slots=True)
class Hostile:
    """A request as it is sent. `shape`: what is wrong with it, in a word."""

    shape: str
    sent: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where requests go. `base`: the path of the FHIR API."""

    host: str
    base: str


def hostile(seed: int, number: int, place: Place) -> Hostile:
    """Returns request `number` of a run with this seed; the same every time."""
    random = Random(f"{seed}/{number}")
    shape = random.choice(tuple(_SHAPES))
    sent = _SHAPES[shape](random, place)
    if random.random() < 0.05 and sent:
        at = random.randrange(len(sent))
        sent = sent[:at] + bytes([random.randrange(256)]) + sent[at + 1 :]
    return Hostile(shape, sent)


def _message(
    place: Place,
    method: str,
    target: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    raw: str = "",
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {place.host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join(lines) + "\r\n" + raw + "\r\n"
    return head.encode("utf-8", "surrogatepass") + (body or b"")


def _path(random: Random, place: Place) -> bytes:
    target = place.base + "/" + "/".join(random.choice(_SEGMENTS) for _ in range(random.randint(0, 6)))
    return _message(place, random.choice(_METHODS), target, body=b"{}" if random.random() < 0.3 else None)


def _query(random: Random, place: Place) -> bytes:
    pairs = [f"{random.choice(_NAMES)}={random.choice(_VALUES)}" for _ in range(random.choice((1, 2, 5, 100)))]
    text = "&".join(pairs)[:40_000].replace(" ", "+")
    path = random.choice(
        ("", "/Patient", "/Patient/hostile-1", "/Patient/_history", "/_history", "/$export", "/metadata")
    )
    if random.random() < 0.2:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return _message(place, "POST", f"{place.base}/Patient/_search", form, text.encode())
    cursor = base64.urlsafe_b64encode(random.randbytes(random.choice((3, 40, 400)))).decode()
    return _message(
        place, "GET", f"{place.base}{path}?{text}" + (f"&_cursor={cursor}" if random.random() < 0.3 else "")
    )


def _header(random: Random, place: Place) -> bytes:
    names = random.sample(list(_HEADERS), random.randint(1, 4))
    headers = {name: random.choice(_HEADERS[name]) for name in names}
    method, body = random.choice(
        (("GET", None), ("PUT", b'{"resourceType":"Patient","id":"hostile-1"}'), ("POST", b"{}"))
    )
    path = "/Patient" if method == "POST" else "/Patient/hostile-1"
    return _message(place, method, f"{place.base}{path}", headers, body)


def _framing(random: Random, place: Place) -> bytes:
    raw = random.choice(_FRAMINGS)
    return (
        _message(place, "POST", f"{place.base}/Patient", {"Content-Type": "application/fhir+json"}, raw=raw) + b"hello"
    )


def _chunked(random: Random, place: Place) -> bytes:
    headers = {"Content-Type": "application/fhir+json", "Transfer-Encoding": "chunked"}
    return _message(place, "POST", f"{place.base}/Patient", headers) + random.choice(_CHUNKS)


def _resource(random: Random, place: Place) -> bytes:
    method, path = random.choice((("POST", "/Patient"), ("PUT", "/Patient/hostile-1"), ("POST", "/Patient/$validate")))
    return _message(place, method, place.base + path, {"Content-Type": "application/fhir+json"}, resource(random))


def _xml(random: Random, place: Place) -> bytes:
    return _message(place, "POST", f"{place.base}/Patient", {"Content-Type": "application/fhir+xml"}, xml(random))


def _bundle(random: Random, place: Place) -> bytes:
    return _message(place, "POST", place.base, {"Content-Type": "application/fhir+json"}, bundle(random))


def _patch(random: Random, place: Place) -> bytes:
    content_type, body = patch(random)
    return _message(place, "PATCH", f"{place.base}/Patient/hostile-1", {"Content-Type": content_type}, body)


def _encoded(random: Random, place: Place) -> bytes:
    coding, body = encoded(random, resource(random))
    headers = {"Content-Type": "application/fhir+json", "Content-Encoding": coding}
    return _message(place, "PUT", f"{place.base}/Patient/hostile-1", headers, body)


def _operation(random: Random, place: Place) -> bytes:
    name = random.choice(
        ("$validate", "$export", "$bulk-submit", "$bulk-submit-status", "$purge", "$presign-upload", "$job")
    )
    path = random.choice(("", "/Patient", "/Patient/hostile-1", "/Group/1")) + f"/{name}"
    headers = {"Content-Type": "application/fhir+json", "Prefer": random.choice(("respond-async", "x"))}
    return _message(place, random.choice(("POST", "GET")), place.base + path, headers, resource(random))


def _garbage(random: Random, place: Place) -> bytes:
    return random.choice((*_GARBAGE, random.randbytes(random.choice((1, 100, 5_000)))))


_SHAPES: Mapping[str, Callable[[Random, Place], bytes]] = {
    "path": _path,
    "query": _query,
    "header": _header,
    "framing": _framing,
    "chunks": _chunked,
    "resource": _resource,
    "xml": _xml,
    "bundle": _bundle,
    "patch": _patch,
    "coding": _encoded,
    "operation": _operation,
    "garbage": _garbage,
}
