"""Exact JSON: bytes in, bytes out, and nothing that a client wrote is lost or guessed at in between.

`parse` (reading.py) accepts RFC 8259 and nothing else: UTF-8, one object at the root, no member named twice, no lone
surrogates, bounded nesting, a bounded number of values. A byte order mark before it is ignored, as the RFC allows.
Every refusal says at which byte (refusing.py). Numbers come back as `int`, or as a `NumberLiteral` (the bytes of the
literal) when an int could not be written back digit for digit: `1.00`, `1E2`, `-0`, integers of thousands of digits.
`read` gives the same and the body's bytes without white space; a `Template` is those bytes, to be filled with the
server's id and meta. `encode` writes what `parse` gave as compact JSON with the order of members kept,
`with_identity` fills that (writing.py); `dump` writes ordinary Python values (dumping.py).

https://www.rfc-editor.org/rfc/rfc8259 · https://hl7.org/fhir/R4/json.html ("Property names SHALL be unique")
· https://hl7.org/fhir/R4/datatypes.html#decimal ("the precision of the decimal value has significance")
"""

from fhirstore.fhir.json.decimals import with_decimals
from fhirstore.fhir.json.dumping import dump
from fhirstore.fhir.json.reading import BYTE_ORDER_MARK, MAX_DEPTH, MAX_VALUES, parse, parse_array, read
from fhirstore.fhir.json.values import JsonObject, NumberLiteral, dismantle, is_element_name
from fhirstore.fhir.json.writing import Template, encode, encode_in_pieces, instant, with_identity

__all__ = [
    "BYTE_ORDER_MARK",
    "MAX_DEPTH",
    "MAX_VALUES",
    "JsonObject",
    "NumberLiteral",
    "Template",
    "dismantle",
    "dump",
    "encode",
    "encode_in_pieces",
    "instant",
    "is_element_name",
    "parse",
    "parse_array",
    "read",
    "with_decimals",
    "with_identity",
]
