"""Indented JSON has the same tokens as before."""

from __future__ import annotations

import re

from fhirstore.fhir import json
from fhirstore.fhir.pretty import indented
from tests.fhir.xml.examples import DATA

_BLANK_OR_TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*")|\s+')


def compact(body: bytes) -> bytes:
    """Without the white space between tokens."""
    return _BLANK_OR_TOKEN.sub(lambda match: match[1] or b"", body)


def test_a_member_a_line() -> None:
    """Two spaces a level; empty containers stay short."""
    assert indented(b'{"a":[1.00,{"b":null}],"c":{}}') == (
        b'{\n  "a": [\n    1.00,\n    {\n      "b": null\n    }\n  ],\n  "c": {}\n}'
    )


def test_literals_and_escapes_stay() -> None:
    """What a client wrote comes back digit for digit."""
    body = b'{"a":1.00,"b":1E2,"c":-0,"d":' + b"9" * 5000 + b',"e":"\\u00e9\\/ \\" \xc3\xa9","f":1e-5}'
    assert compact(indented(body)) == body


def test_examples_keep_every_token() -> None:
    """On the official examples: the bytes without white space between tokens are what they were."""
    for line in DATA.read_bytes().splitlines():
        assert compact(indented(line)) == compact(line)
        assert json.parse(indented(line)) == json.parse(line)
