"""Tokens: a code or an identifier, in a system or not.

| written | matches |
|---|---|
| `code` | this code in any system or none |
| `system|code` | both |
| `|code` | this code and no system |
| `system|` | this system, whatever the code |

Codes and systems are compared case-sensitively, as identifiers are; elements of type string are not. An element of
type code has the systems of the value set it is bound to. `:text` searches the text of what is coded, `:of-type`
identifiers by `system|code|value`, where system and code are those of the identifier's type.

https://hl7.org/fhir/R4/search.html#token
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.search_parameters.paths import Path
from fhirstore.search.criteria.token import split, token, unescaped
from fhirstore.search.matching.strings import string_test

_WITHOUT_SYSTEM = frozenset({"ContactPoint", "uri", "boolean"})
_EXACT_TEXT = frozenset({"code", "id", "uri", "canonical", "url", "oid", "uuid"})


@dataclass(frozen=True, slots=True, repr=False)
class Tokens:
    """Several tokens, any of which may match. `codes`: in any system."""

    codes: frozenset[str]
    pairs: frozenset[tuple[str | None, str]]
    systems: frozenset[str]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Tokens:
        """Reads what is searched for. Raises ValueError."""
        tokens = [token(text) for text in texts]
        return cls(
            frozenset(one.value for one in tokens if one.any_system and one.value is not None),
            frozenset((one.system, one.value) for one in tokens if not one.any_system and one.value is not None),
            frozenset(one.system for one in tokens if one.value is None and one.system is not None),
        )

    def match(self, system: object, code: object) -> bool:
        """Returns whether one of them is this code in this system; None for an absent one."""
        if isinstance(code, str):
            if code in self.codes:
                return True
            if self.pairs and (system is None or isinstance(system, str)) and (system, code) in self.pairs:
                return True
        return bool(self.systems) and isinstance(system, str) and system in self.systems


def token_test(definitions: Definitions, path: Path, texts: Sequence[str]) -> Callable[[object], bool]:
    """Returns the test of an element for several values searched for, any of which may match. Raises ValueError."""
    tokens = Tokens.of(texts)
    if path.types and path.types <= _WITHOUT_SYSTEM and (tokens.pairs or tokens.systems):
        raise ValueError("it has a |, but these elements have no system")
    if path.types == {"boolean"} and not tokens.codes <= {"true", "false"}:
        raise ValueError("it is true or false")
    if path.types == {"ContactPoint"}:
        return lambda value: isinstance(value, dict) and tokens.match(None, value.get("value"))
    text_test = _text_test(definitions, path, tokens)

    def test(value: object) -> bool:
        if isinstance(value, dict):
            codings = value.get("coding")
            if isinstance(codings, list):
                return any(tokens.match(one.get("system"), one.get("code")) for one in codings if isinstance(one, dict))
            if "concept" in value:
                return test(value["concept"])
            return tokens.match(value.get("system"), value.get("code") if "code" in value else value.get("value"))
        if isinstance(value, bool):
            return ("true" if value else "false") in tokens.codes
        return isinstance(value, str) and text_test(value)

    return test


def token_text_test(text: str) -> Callable[[object], bool]:
    """Returns the test for `:text`: the text of a concept, a coding or an identifier's type. Raises ValueError."""
    matches = string_test(text, "", name=False)
    return lambda value: any(matches(one) for one in _described(value))


def of_type_test(text: str) -> Callable[[object], bool]:
    """Returns the test of an Identifier for `:of-type`. Raises ValueError."""
    parts = [unescaped(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise ValueError("with :of-type it is system|code|value")
    system, code, wanted = parts

    def test(value: object) -> bool:
        if not isinstance(value, dict) or value.get("value") != wanted:
            return False
        kind = value.get("type")
        codings = kind.get("coding") if isinstance(kind, dict) else None
        return isinstance(codings, list) and any(
            isinstance(one, dict) and one.get("system") == system and one.get("code") == code for one in codings
        )

    return test


def _text_test(definitions: Definitions, path: Path, tokens: Tokens) -> Callable[[str], bool]:
    """Returns the test of an element that is text: a code has implied systems, a string has no case."""
    if "string" in path.types and not path.types & _EXACT_TEXT:
        folded = frozenset(code.casefold() for code in _codes_without_system(tokens))
        return lambda value: value.casefold() in folded
    if path.types & {"code"}:
        return _code_test(implied_systems(definitions, path), tokens)
    codes = _codes_without_system(tokens)
    return lambda value: value in codes


def _codes_without_system(tokens: Tokens) -> frozenset[str]:
    return tokens.codes | {code for system, code in tokens.pairs if system is None}


def _code_test(implied: Mapping[str, frozenset[str]] | None, tokens: Tokens) -> Callable[[str], bool]:
    """`implied`: code system -> codes; None: not known, then any system will do."""
    wanted = set(_codes_without_system(tokens))
    if implied is None:
        wanted |= {code for _, code in tokens.pairs}
        return lambda value: value in wanted
    wanted |= {code for system, code in tokens.pairs if system and code in implied.get(system, ())}
    for system in tokens.systems:
        wanted |= implied.get(system, frozenset())
    return lambda value: value in wanted


def implied_systems(definitions: Definitions, path: Path) -> Mapping[str, frozenset[str]] | None:
    """Returns the systems of elements of type code, each with its codes; None where they are not known."""
    found: dict[str, frozenset[str]] = {}
    for element in path.elements:
        if element.type == "code":
            if element.binding not in definitions.value_sets:
                return None
            for system, codes in definitions.value_sets[element.binding].items():
                found[system] = found.get(system, frozenset()) | codes
    return found or None


def _described(value: object) -> Iterator[object]:
    """Yields the texts of a CodeableConcept, Coding or Identifier."""
    if isinstance(value, dict):
        yield value.get("text")
        yield value.get("display")
        codings = value.get("coding")
        for coding in codings if isinstance(codings, list) else ():
            yield coding.get("display") if isinstance(coding, dict) else None
        for inner in ("type", "concept"):
            if isinstance(of := value.get(inner), dict):
                yield of.get("text")
