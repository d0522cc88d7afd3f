"""Whether what is coded together with its system has a code that a required binding allows.

Of a CodeableConcept one coding is enough; a text is not. A code without its system is of none, so only the pair counts.
Where nothing is said but extensions (why there is no code, say), nothing is asked.

https://hl7.org/fhir/R4/terminologies.html#required
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Codes = Mapping[str, frozenset[str]]  # code system -> codes

_NOTHING_SAID = frozenset({"id", "extension"})


def has_code_of(codes: Codes, value: object) -> bool:
    """Whether one of the codings in `value`, which is built rightly, is among `codes`."""
    if isinstance(value, dict) and value.keys() <= _NOTHING_SAID:
        return True
    return any(code in codes.get(system, frozenset()) for system, code in _codings(value))


def _codings(value: object) -> Iterator[tuple[str, object]]:
    """(system, code) of a Coding, a Quantity, a CodeableConcept, or the concept of a CodeableReference."""
    if not isinstance(value, dict):
        return
    if "coding" in value or "concept" in value:
        for coding in value.get("coding") or ():
            yield from _codings(coding)
        yield from _codings(value.get("concept"))
    elif "code" in value:
        yield str(value.get("system", "")), value["code"]
