"""Bodies that are nearly FHIR: JSON, XML, bundles, patches and forms with something wrong, drawn at random."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache
from random import Random

PATIENT: dict[str, object] = {
    "resourceType": "Patient",
    "identifier": [{"system": "urn:hostile", "value": "1"}],
    "name": [{"family": "Hostile", "given": ["A", "B"]}],
    "birthDate": "1970-01-01",
    "active": True,
}
_ODD: tuple[object, ...] = (
    None,
    "",
    [],
    {},
    [[]],
    -1,
    1e308,
    10**30,
    "\0",
    "\ud800",
    "x" * 70_000,
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "javascript:alert(1)",
    {"resourceType": "Patient"},
    ["Patient", None, {"extension": []}],
    "0000-00-00T99:99:99Z",
    "\u202e\ufeff\u2028",
    "%s%n{0}${jndi:ldap://x}",
)
_TYPES = (
    "Patient",
    "Observation",
    "Binary",
    "Bundle",
    "Parameters",
    "",
    "Nonsense",
    "__proto__",
    "patient",
    "Patient/..",
)
_RAW = (
    b"",
    b"null",
    b"[]",
    b'"Patient"',
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\0}\0",
    b'{"resourceType":"Patient"',
    b'{"resourceType":"Patient","resourceType":"Observation"}',
    b'{"resourceType":"Patient","active":NaN}',
    b'{"resourceType":"Patient","multipleBirthInteger":1e999999}',
    b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 5_000 + b"}",
    b'{"resourceType":"Patient","gender":"\\ud800"}',
    b'{"resourceType":"Patient","gender":"\xc3\x28"}',
    b'{"resourceType":"Patient","a":' * 3_000,
    b"[" * 50_000,
    b'{"resourceType":"Patient","text":{"status":"generated","div":'
    b'"<div xmlns=\\"http://www.w3.org/1999/xhtml\\" onclick=\\"x()\\"><script>1</script></div>"}}',
)
_XML = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><Patient xmlns="http://hl7.org/fhir">'
    b'<id value="&b;"/></Patient>',
    b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Patient xmlns="http://hl7.org/fhir"/>',
    b'<Patient xmlns="http://evil"><id value="1"/></Patient>',
    b'<Patient xmlns="http://hl7.org/fhir">' + b"<extension>" * 5_000,
    b"<" * 10_000,
    b'<Patient xmlns="http://hl7.org/fhir"><id value="' + b"x" * 70_000 + b'"/></Patient>',
    b'<Patient xmlns="http://hl7.org/fhir"><![CDATA[x]]><?php 1 ?></Patient>',
    b'<?xml version="1.0" encoding="utf-7"?><Patient xmlns="http://hl7.org/fhir"/>',
    b"\0\0\0<\0\0\0P",
)
_PATHS = (
    "/name/0",
    "/",
    "",
    "/name/-",
    "/name/99999999999",
    "/~2",
    "/resourceType",
    "/id",
    "/meta/versionId",
    "/" * 5_000,
)
_EXPRESSIONS = (
    "Patient.name.where(",
    "Patient.name.given.matches('(a+)+$')",
    "repeat(children())" * 50,
    "Patient.descendants().descendants().descendants()",
    "(" * 2_000,
    "%resource.resolve()",
    "1 div 0",
)
_URLS = (
    "Patient/hostile-1",
    "Patient",
    "http://evil.example/Patient/1",
    "../Patient/1",
    "Patient?identifier=urn:hostile|1",
    "Patient/hostile-1/_history/99999999999999999999",
    "",
    "$export",
    "Bundle",
    "/" * 1_000,
    "Patient?" + "a=b&" * 500,
)


def odd(random: Random) -> object:
    """A value where another is expected."""
    return random.choice(_ODD)


def resource(random: Random) -> bytes:
    """A resource with one to three things wrong, or what is none."""
    if random.random() < 0.4:
        return random.choice(_RAW)
    changed = dict(PATIENT)
    for _ in range(random.randint(1, 3)):
        name = random.choice(
            (*PATIENT, "id", "meta", "text", "contained", "extension", "__proto__", "_active", "x" * 300)
        )
        changed[name] = odd(random) if random.random() < 0.8 else [odd(random) for _ in range(random.randint(0, 50))]
    if random.random() < 0.2:
        changed["resourceType"] = random.choice(_TYPES)
    return _json(changed)


def xml(random: Random) -> bytes:
    """XML that asks for files, grows, or is none."""
    return random.choice(_XML)


def bundle(random: Random) -> bytes:
    """A bundle with odd entries: circles, foreign addresses, thousands of entries, bundles inside of bundles."""
    entries: list[object] = []
    for number in range(random.choice((0, 1, 3, 10, 200))):
        method = random.choice(("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "TRACE", "", None, 7))
        entry: dict[str, object] = {"request": {"method": method, "url": random.choice(_URLS)}}
        if random.random() < 0.7:
            entry["resource"] = {**PATIENT, "managingOrganization": {"reference": f"urn:uuid:{number % 3}"}}
            entry["fullUrl"] = random.choice((f"urn:uuid:{number % 3}", "urn:uuid:", "x", "", None))
        if random.random() < 0.2:
            entries.append(random.choice((None, [], {}, {"resource": odd(random)}, {"request": odd(random)})))
            continue
        entries.append(entry)
    kind = random.choice(("transaction", "batch", "history", "collection", "", None, "Batch"))
    if random.random() < 0.1:
        nested: object = {"resourceType": "Bundle", "type": "batch", "entry": entries[:2]}
        for _ in range(200):
            nested = {"resourceType": "Bundle", "type": kind, "entry": [{"resource": nested}]}
        return _json(nested)
    return _json({"resourceType": "Bundle", "type": kind, "entry": entries if random.random() < 0.9 else odd(random)})


def patch(random: Random) -> tuple[str, bytes]:
    """A content type and a patch that goes where it should not."""
    kind = random.choice(("json-patch", "merge-patch", "fhir"))
    if kind == "json-patch":
        steps = [
            {
                "op": random.choice(("add", "copy", "move", "test", "x", None)),
                "path": random.choice(_PATHS),
                "value": odd(random),
            }
            for _ in range(random.choice((0, 1, 3, 500)))
        ]
        for step in steps:
            step["from"] = random.choice(_PATHS)
        return "application/json-patch+json", _json(steps)
    if kind == "merge-patch":
        return "application/merge-patch+json", resource(random)
    part = [
        {"name": "type", "valueCode": random.choice(("add", "delete", "replace", "x"))},
        {"name": "path", "valueString": random.choice(_EXPRESSIONS)},
        {"name": "value", "valueString": "x"},
    ]
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "operation", "part": part}] * random.choice((1, 200)),
    }
    return "application/fhir+json", _json(parameters)


def encoded(random: Random, body: bytes) -> tuple[str, bytes]:
    """A content coding and a body that grows in it, or is not in it."""
    coding = random.choice(("gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "x-gzip", "gzip;q=1", "\x00"))
    packed = random.choice((body, _bomb(coding), _bomb("gzip"), _packed(coding, body)))
    return coding, packed[: len(packed) - random.choice((0, 0, 0, 1, 8))]


@cache
def _bomb(coding: str) -> bytes:
    return _packed(coding, b'{"resourceType":"Patient","id":"' + b"x" * 30_000_000)


def _packed(coding: str, content: bytes) -> bytes:
    if coding == "deflate":
        return zlib.compress(content, 1)
    once = gzip.compress(content, 1, mtime=0) if "gzip" in coding else content[:100_000]
    return gzip.compress(once, 1, mtime=0) if coding == "gzip, gzip" else once


def _json(value: object) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")
