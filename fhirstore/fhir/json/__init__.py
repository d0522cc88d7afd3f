"""Exact JSON: every value comes back as the client wrote it, digits of numbers and order of members included.

- `parse` (reading.py) accepts RFC 8259 and nothing else: UTF-8, one object at the root, unique member names, no lone
  surrogates, bounded nesting, a bounded number of values. A byte order mark is ignored, as the RFC allows. A refusal
  names the byte (malformed.py).
- Numbers become `int`, or `NumberLiteral` (the bytes of the literal) where an int could not be written back digit for
  digit: `1.00`, `1E2`, `-0`, integers of thousands of digits.
- `read` returns the value and the body without white space. A `Template` holds those bytes and sets the server's id and
  meta in them; `with_identity` does both at once (writing.py).
- `encode` writes what `parse` returned as compact JSON; `dump` writes ordinary Python values (dumping.py).

https://www.rfc-editor.org/rfc/rfc8259 · https://hl7.org/fhir/R4/json.html ("Property names SHALL be unique") ·
https://hl7.org/fhir/R4/datatypes.html#decimal ("the precision of the decimal value has significance")
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
