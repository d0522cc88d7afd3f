"""What one resource has of its search parameters: the rows of the index. Pure.

| kind | a row |
|---|---|
| token | hash of the code, or `NO_CODE`; its system, or `NO_SYSTEM`, `BARE` (a code, a string, a uri), `ONLY_BY_CODE` |
| reference | hash of a spelling of the target: see `spellings` |
| uri | the text; `derived`: the URL of a canonical with the version of its resource |
| string | normalized text from its begin, with the hash of the text itself; of names also from each further word |
| text | normalized text of what is coded |
| date | start and end, epoch ms; whether it is longer than a day |
| words | the hash of a word of the narrative, or of all strings (`fhirstore.fhir.search_parameters.words`) |
| number | both ends as `sort_key`, the second only if it is another; whether it is; of quantities the unit as written |

A string with hyphens is read in two ways, without them (marked `+`) and with spaces instead (marked `-`); one without
has no mark. No normalized text begins with these marks.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.search_parameters.evaluated import Unevaluated
from fhirstore.fhir.search_parameters.references import literal, target
from fhirstore.fhir.search_parameters.values import (
    RANGE_ENDS,
    Interval,
    interval_of,
    normalized,
    span_of,
    texts_of,
    words_of,
)
from fhirstore.fhir.search_parameters.words import texts_of_narrative, texts_of_resource, words_in
from fhirstore.index.local.catalogue import CONTENT, Catalogue, Group, Indexed
from fhirstore.index.local.decimals import AT, JUST_ABOVE, JUST_BELOW, sort_key
from fhirstore.index.local.elements import element_rows
from fhirstore.index.local.hashing import Hash

NO_SYSTEM, BARE, ONLY_BY_CODE = 0, -1, -2
"""Stand for a system: there is none; it is implied, if any; it does not matter, as for booleans."""
NO_CODE = 0
"""Stands for the hash of a code: of a coding without one; and once more with each system of identifiers, since there
are too many codes to look through them all for a system."""
DAY = 86_400_000
"""ms. A longer span is `wide`."""
CURRENCIES = "urn:iso:std:iso:4217"
MOST_ROWS = 50_000
MOST_TEXT = 4_000_000
"""Rows and characters of one resource. What is beyond is not indexed, and the resource is known as `cut`."""

_NO_POINT = frozenset(("comparator", *RANGE_ENDS))
_MOST_WORDS = 32
_SHORT = 200
_VERSION = re.compile(r"/_history/([A-Za-z0-9.-]{1,64})(?:[#|].*)?$", re.DOTALL)
_RELATIVE = re.compile(r"[A-Z][A-Za-z]*+/[A-Za-z0-9.-]{1,64}+")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.DOTALL)

System: TypeAlias = str | int
"""The URI of a code system, or one of the stand-ins."""
Unit: TypeAlias = tuple[str | None, str | None, str | None]
"""System, code and unit of a quantity, as written."""


@dataclass(slots=True)
class Rows:
    """All rows of one resource. Each row begins with the number of its parameter.

    `codes`: the texts of codes with their hashes, which sort as the hashes do not; not of identifiers. `shape`: the
    parameters that have a value, 2 * pid, or 2 * pid + 1 where they have several; sorted. `cut`: there was
    more than the limits allow, or something that cannot be evaluated.
    """

    tokens: set[tuple[int, int, System]] = field(default_factory=set)
    references: set[tuple[int, int]] = field(default_factory=set)
    uris: set[tuple[int, str, int]] = field(default_factory=set)
    strings: set[tuple[int, str, int]] = field(default_factory=set)
    texts: set[tuple[int, str]] = field(default_factory=set)
    words: set[tuple[int, int]] = field(default_factory=set)
    dates: set[tuple[int, int, int, int]] = field(default_factory=set)
    numbers: set[tuple[int, Unit | None, int, bytes, bytes]] = field(default_factory=set)
    codes: set[tuple[int, str, int]] = field(default_factory=set)
    shape: tuple[int, ...] = ()
    cut: bool = False

    def compact(self) -> None:
        """Makes all empty sets one, to be kept: nothing may be added afterwards."""
        self.tokens = self.tokens or _EMPTY
        self.references = self.references or _EMPTY
        self.uris = self.uris or _EMPTY
        self.strings = self.strings or _EMPTY
        self.texts = self.texts or _EMPTY
        self.words = self.words or _EMPTY
        self.dates = self.dates or _EMPTY
        self.numbers = self.numbers or _EMPTY
        self.codes = self.codes or _EMPTY


_EMPTY: set[Any] = set()


def rows_of(catalogue: Catalogue, hashed: Hash, type: str, resource: JsonObject) -> Rows:
    """Returns the rows of a parsed resource of this type. What does not fit the definitions has none."""
    return rows_of_groups(catalogue, hashed, catalogue.groups(type), resource)


def rows_of_groups(catalogue: Catalogue, hashed: Hash, groups: Iterable[Group], resource: JsonObject) -> Rows:
    """Returns the rows for these groups of the parameters of the resource's type."""
    rows = Rows()
    shape: list[int] = []
    room, text = MOST_ROWS, MOST_TEXT
    members = resource.keys()
    for group in groups:
        if group.members is not None and not group.always and members.isdisjoint(group.members):
            continue
        try:
            values = group.run([resource], resource)
        except Unevaluated:
            rows.cut = True
            continue
        if not values:
            continue
        if len(values) > room:
            rows.cut = True
            values = values[: max(room, 0)]
        room -= len(values)
        if group.parameters[0].kind in ("string", "uri"):
            values, left = _within(values, text)
            rows.cut = rows.cut or left < 0
            text = max(left, 0)
        for indexed in group.parameters:
            _READERS[indexed.kind](_Reading(catalogue, hashed, indexed, resource), values, rows)
        first = group.parameters[0]
        if first.sides:
            continue
        if present := sum(map(_is_value, values)):
            if first.kind == "quantity":  # a Range may have two units, and so two rows
                present = max(present, sum(len(units_of(one)) for one in values if isinstance(one, dict)))
            shape.append(2 * first.pid + (present > 1))
    rows.shape = tuple(shape)
    return rows


@dataclass(slots=True)
class _Reading:
    catalogue: Catalogue
    hashed: Hash
    indexed: Indexed
    resource: JsonObject


def _within(values: list[object], room: int) -> tuple[list[object], int]:
    """Returns the values whose texts fit into the room, and what is left of it; less than 0 if not all fit."""
    for number, value in enumerate(values):
        room -= sum(map(len, texts_of(value)))
        if room < 0:
            return values[:number], room
    return values, room


def _is_value(value: object) -> bool:
    """Returns whether an element has more than an id and extensions."""
    return not isinstance(value, dict) or not value.keys() <= {"id", "extension"}


def _elements(reading: _Reading, values: list[object], rows: Rows) -> None:
    """Elements of a composite, each with the values of its components."""

    def add(indexed: Indexed, some: list[object]) -> Rows:
        found = Rows()
        _READERS[indexed.kind](_Reading(reading.catalogue, reading.hashed, indexed, reading.resource), some, found)
        return found

    element_rows(reading.indexed.sides[0], values, rows, reading.hashed, add)


# --- token --------------------------------------------------------------------------------------------------


def _tokens(reading: _Reading, values: list[object], rows: Rows) -> None:
    pid, hashed = reading.indexed.pid, reading.hashed
    if reading.indexed.of_contacts:
        for value in values:
            if isinstance(value, dict) and isinstance(text := value.get("value"), str):
                rows.tokens.add((pid, hashed(text), NO_SYSTEM))
        return
    folded, identifiers = reading.indexed.folded, "Identifier" in reading.indexed.path.types
    for value in values:
        if isinstance(value, bool):
            rows.tokens.add((pid, hashed("true" if value else "false"), ONLY_BY_CODE))
        elif isinstance(value, str):
            text = value.casefold() if folded else value
            rows.tokens.add((pid, hashed(text), BARE))
            if reading.indexed.of_codes or folded:
                rows.codes.add((pid, text, hashed(text)))
        else:
            found = list(_codings(value, hashed))
            rows.tokens.update((pid, *coded) for coded in found)
            if identifiers:
                rows.tokens.update((pid, NO_CODE, system) for _, system in found if isinstance(system, str))
            else:
                rows.codes.update((pid, text, hashed(text)) for text in _texts_of_codes(value))


def _codings(value: object, hashed: Hash) -> Iterator[tuple[int, System]]:
    """Yields the codes of a CodeableConcept, Coding, Identifier or CodeableReference."""
    if not isinstance(value, dict):
        return
    codings = value.get("coding")
    if isinstance(codings, list):
        for one in codings:
            if isinstance(one, dict):
                yield from _coded(one.get("system"), one.get("code"), hashed)
    elif "concept" in value:
        concept = value["concept"]
        if isinstance(concept, dict):
            yield from _codings(concept, hashed)
    else:
        yield from _coded(value.get("system"), value.get("code") if "code" in value else value.get("value"), hashed)


def _texts_of_codes(value: object) -> Iterator[str]:
    """Yields the codes of a CodeableConcept, Coding or CodeableReference as text."""
    if isinstance(value, dict):
        codings = value.get("coding")
        for one in codings if isinstance(codings, list) else [value]:
            if isinstance(one, dict) and isinstance(code := one.get("code"), str):
                yield code
        if "concept" in value:
            yield from _texts_of_codes(value["concept"])


def _coded(system: object, code: object, hashed: Hash) -> Iterator[tuple[int, System]]:
    where = system if isinstance(system, str) else NO_SYSTEM if system is None else ONLY_BY_CODE
    if isinstance(code, str):
        yield hashed(code), where
    elif isinstance(where, str):
        yield NO_CODE, where


def _identifiers(reading: _Reading, values: list[object], rows: Rows) -> None:
    """The identifiers in references."""
    for value in values:
        if isinstance(value, dict):
            found = _codings(value.get("identifier"), reading.hashed)
            rows.tokens.update((reading.indexed.pid, *coded) for coded in found)


def _typed(reading: _Reading, values: list[object], rows: Rows) -> None:
    """Identifiers by the system and code of their type, and their value."""
    for value in values:
        text, kind = (value.get("value"), value.get("type")) if isinstance(value, dict) else (None, None)
        codings = kind.get("coding") if isinstance(kind, dict) else None
        if isinstance(text, str) and isinstance(codings, list):
            for one in codings:
                if isinstance(one, dict):
                    system, code = one.get("system"), one.get("code")
                    if isinstance(system, str) and isinstance(code, str):
                        typed = typed_identifier(system, code, text)
                        rows.tokens.add((reading.indexed.pid, reading.hashed(typed), NO_SYSTEM))


def typed_identifier(system: str, code: str, value: str) -> str:
    """Returns the text whose hash stands for an identifier of a type."""
    return "\x1f".join((system, code, value))


# --- string, uri, reference ---------------------------------------------------------------------------------


def _strings(reading: _Reading, values: list[object], rows: Rows) -> None:
    for value in values:
        for part in texts_of(value):
            _add_text(reading, part, rows)


def _add_text(reading: _Reading, text: str, rows: Rows) -> None:
    pid = reading.indexed.pid
    (mark, plain), *others = readings_of(text)
    rows.strings.add((pid, mark + plain, reading.hashed(text)))
    rows.strings.update((pid, other + words, 0) for other, words in others)
    if reading.indexed.of_names:
        for marked, words in ((mark, plain), *others):
            starts = [at for at, char in enumerate(words) if char == " "][:_MOST_WORDS]
            rows.strings.update((pid, marked + words[at + 1 :], 0) for at in starts)


def readings_of(text: str) -> tuple[tuple[str, str], ...]:
    """Returns a text, normalized, in the ways that its hyphens can be read, each after its mark."""
    return _readings_of_short(text) if len(text) <= _SHORT else _readings_of(text)


def _readings_of(text: str) -> tuple[tuple[str, str], ...]:
    plain, words = normalized(text), words_of(text)[1:]
    return (("", plain),) if plain == words else (("+", plain), ("-", words))


_readings_of_short = lru_cache(maxsize=4_096)(_readings_of)  # what codings say is the same again and again


def _described(reading: _Reading, values: list[object], rows: Rows) -> None:
    """The texts of what is coded."""
    for value in values:
        for text in described(value):
            rows.texts.update((reading.indexed.pid, mark + words) for mark, words in readings_of(text))


def described(value: object) -> Iterator[str]:
    """Yields the texts of a CodeableConcept, Coding, Identifier or CodeableReference."""
    if not isinstance(value, dict):
        return
    for text in (value.get("text"), value.get("display")):
        if isinstance(text, str):
            yield text
    codings = value.get("coding")
    for coding in codings if isinstance(codings, list) else ():
        if isinstance(coding, dict) and isinstance(text := coding.get("display"), str):
            yield text
    for inner in ("type", "concept"):
        if isinstance(of := value.get(inner), dict) and isinstance(text := of.get("text"), str):
            yield text


def _words(reading: _Reading, values: list[object], rows: Rows) -> None:
    """The words of narratives, or of resources."""
    pid, hashed, room = reading.indexed.pid, reading.hashed, MOST_TEXT
    for value in values:
        if reading.indexed.name != CONTENT:
            texts = texts_of_narrative(value)
        else:
            texts = texts_of_resource(value) if isinstance(value, dict) else iter(())
        for text in texts:
            rows.words.update((pid, hashed(word)) for word in words_in(text[:room]))
            room -= len(text)
            if room < 0 or len(rows.words) > MOST_ROWS:
                rows.cut = True
                return


def _uris(reading: _Reading, values: list[object], rows: Rows) -> None:
    pid, version = reading.indexed.pid, reading.resource.get("version")
    for value in values:
        if isinstance(value, str):
            rows.uris.add((pid, value, 0))
            if isinstance(version, str):
                rows.uris.add((pid, f"{value}|{version}", 1))


def _references(reading: _Reading, values: list[object], rows: Rows) -> None:
    pid, hashed, bases = reading.indexed.pid, reading.hashed, reading.catalogue.bases
    for value in values:
        if isinstance(value, str) and reading.indexed.of_canonicals:
            rows.uris.add((pid, value, 0))
        for spelling in spellings(value, bases):
            rows.references.add((pid, hashed(spelling)))


def spellings(value: object, bases: frozenset[str]) -> Sequence[str]:
    """Returns what a reference, a canonical or a resource inside a resource can be found by.

    `Patient/p` and `Patient/p/_history/2` for what is on this server; `=` and the text of an absolute URL or a URN,
    with and without the version after its bars; `@` and the URL of a resource of another server, where the reference
    names a version of it.
    """
    if isinstance(value, dict) and isinstance(type_ := value.get("resourceType"), str):
        return (f"{type_}/{id_}",) if isinstance(id_ := value.get("id"), str) else ()
    text = literal(value.get("reference", value.get("url")) if isinstance(value, dict) else value)
    return (text,) if _RELATIVE.fullmatch(text) else tuple(_spellings(text, bases))


def _spellings(text: str, bases: frozenset[str]) -> Iterator[str]:
    at = target(text)
    version = _VERSION.search(text)
    if at is not None and (not at[0] or at[0] in bases):
        yield f"{at[1]}/{at[2]}"
        if version is not None:
            yield f"{at[1]}/{at[2]}/_history/{version[1]}"
    if _ABSOLUTE.fullmatch(text):
        yield f"={text}"
        for bar in re.finditer(r"\|", text):
            yield f"={text[: bar.start()]}"
        if at is not None and version is not None:
            yield f"@{at[0]}{at[1]}/{at[2]}"


# --- date, number, quantity ---------------------------------------------------------------------------------


def _dates(reading: _Reading, values: list[object], rows: Rows) -> None:
    for value in values:
        if (span := span_of(value)) is not None:
            rows.dates.add((reading.indexed.pid, int(span[1] - span[0] > DAY), *span))


def _numbers(reading: _Reading, values: list[object], rows: Rows) -> None:
    for value in values:
        if (ends := _ends(value)) is not None:
            rows.numbers.add((reading.indexed.pid, None, *ends))


def _quantities(reading: _Reading, values: list[object], rows: Rows) -> None:
    for value in values:
        if isinstance(value, dict) and (ends := _ends(value)) is not None:
            rows.numbers.update((reading.indexed.pid, unit, *ends) for unit in units_of(value))


def _ends(value: object) -> tuple[int, bytes, bytes] | None:
    point = value if not isinstance(value, dict) else None if value.keys() & _NO_POINT else value.get("value")
    if isinstance(point, NumberLiteral) and len(written := bytes(point)) <= _SHORT:
        return _of_point(written)
    found = interval_of(value)
    if found is None:
        return None
    return _of_interval(found)


@lru_cache(maxsize=4_096)
def _of_point(written: bytes) -> tuple[int, bytes, bytes] | None:
    found = interval_of(NumberLiteral(written))
    return None if found is None else _of_interval(found)


def _of_interval(found: Interval) -> tuple[int, bytes, bytes]:
    low = sort_key(found.low, JUST_ABOVE if found.low_open else AT)
    high = sort_key(found.high, JUST_BELOW if found.high_open else AT)
    return (0, low, b"") if low == high else (1, low, high)


def units_of(value: JsonObject) -> set[Unit]:
    """Returns the unit of a Quantity or a Money, or those of the ends of a Range."""
    if "low" in value or "high" in value:
        return {unit for name in RANGE_ENDS if isinstance(end := value.get(name), dict) for unit in units_of(end)}
    if isinstance(currency := value.get("currency"), str):
        return {(CURRENCIES, currency, None)}
    system, code, unit = (one if isinstance(one, str) else None for one in map(value.get, ("system", "code", "unit")))
    return {(system, code, unit)}


_READERS: Mapping[str, Callable[[_Reading, list[object], Rows], None]] = {
    "token": _tokens,
    "identifier": _identifiers,
    "typed": _typed,
    "string": _strings,
    "text": _described,
    "words": _words,
    "uri": _uris,
    "reference": _references,
    "date": _dates,
    "number": _numbers,
    "quantity": _quantities,
    "elements": _elements,
}
