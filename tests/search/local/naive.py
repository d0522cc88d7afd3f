"""Searches, evaluated by looking at every resource: the oracle. Written from the page, it shares nothing with the index
but the values that a parameter has.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from fhirstore.fhir.definitions.load import definitions
from fhirstore.fhir.json import JsonObject, NumberLiteral
from fhirstore.fhir.search_parameters.getters import getter

R4 = definitions("4.0")
HERE = "https://here.example/fhir/"
_INFINITE = Fraction(10) ** 30
_UCUM = {"kg": Fraction(1000), "g": Fraction(1), "mg": Fraction(1, 1000), "ug": Fraction(1, 10**6)}

Resources = Mapping[str, JsonObject]
"""By name, `Type/id`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What there is at a moment, the oldest first."""

    resources: Resources

    def matches(self, type: str, pairs: list[tuple[str, str]]) -> list[str]:
        """The names of what meets all criteria, in the order of their creation."""
        return [
            name
            for name, resource in self.resources.items()
            if resource["resourceType"] == type and all(self.meets(resource, *pair) for pair in pairs)
        ]

    def meets(self, resource: JsonObject, name: str, value: str) -> bool:
        """Does it meet one criterion?"""
        type_ = str(resource["resourceType"])
        if name.startswith("_has:"):
            _, other, code, rest = name.split(":", 3)
            return any(
                self.meets(one, rest, value)
                and any(_local(ref) == f"{type_}/{resource['id']}" for ref in values(one, code))
                for one in self.resources.values()
                if one["resourceType"] == other
            )
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:
            targets = [self.resources.get(_local(ref) or "") for ref in values(resource, code)]
            return any(
                one is not None
                and modifier in ("", one["resourceType"])
                and rest.partition(":")[0].partition(".")[0] in R4.search_parameters[str(one["resourceType"])]
                and self.meets(one, rest, value)
                for one in targets
            )
        texts = value.split(",")
        if code == "_id":
            return resource["id"] in texts
        found = values(resource, code)
        if modifier == "missing":
            return (not any(one != {} for one in found)) is (value == "true")
        kind = R4.search_parameters[type_][code].type
        if code == "family":  # a part of a name is found as names are
            found = [{"family": one} for one in found]
        some = any(_KINDS[kind](one, modifier, text, resource) for one in found for text in texts)
        return not some if modifier == "not" else some

    def sort_value(self, name: str, code: str, descending: bool) -> object:
        """By what a resource is sorted; None if it has no value."""
        resource = self.resources[name]
        if code == "_id":
            return resource["id"]
        found = values(resource, code)
        kind = R4.search_parameters[str(resource["resourceType"])][code].type
        if kind == "string":
            keys: list[object] = [_folded(text) for one in found for text in _texts(one)]
        elif kind in _SORTED:
            keys = [key for one in found for key in _SORTED[kind](self, one)]
        elif kind == "date":
            keys = [span[0] for one in found if (span := _span_of(one))]
        else:
            keys = [ends[0] for one in found if (ends := _ends(one))]
        return None if not keys else max(keys) if descending else min(keys)  # type: ignore[type-var]


def values(resource: JsonObject, code: str) -> list[object]:
    """The values of a parameter."""
    return _GETTERS.setdefault((str(resource["resourceType"]), code), getter(R4, str(resource["resourceType"]), code))(
        resource
    )


_GETTERS: dict[tuple[str, str], Callable[[JsonObject], list[object]]] = {}


# --- token --------------------------------------------------------------------------------------------------


def _token(value: object, modifier: str, text: str, _: JsonObject) -> bool:
    if modifier == "text":
        return any(_prefixes(text, one, name=False) for one in _display(value))
    if modifier == "of-type":
        system, code, wanted = text.split("|")
        assert isinstance(value, dict)
        kinds = value.get("type", {}).get("coding", [])
        return bool(value.get("value") == wanted) and any(
            (one.get("system"), one.get("code")) == (system, code) for one in kinds
        )
    system, bar, code = text.rpartition("|")
    for its_system, its_code in _codes(value):
        if not bar and its_code == code:
            return True
        if bar and code and its_code == code and (its_system == system or (not system and its_system is None)):
            return True
        if bar and not code and its_system == system:
            return True
    return False


def _codes(value: object) -> Iterator[tuple[str | None, str | None]]:
    if isinstance(value, bool):
        yield "no system matches a boolean", "true" if value else "false"
    elif isinstance(value, str):
        system = {
            "male": "http://hl7.org/fhir/administrative-gender",
            "female": "http://hl7.org/fhir/administrative-gender",
        }
        status = "http://hl7.org/fhir/observation-status"
        yield None, value
        yield system.get(value, status if value in ("final", "preliminary") else None), value
    elif isinstance(value, dict) and "coding" in value:
        for coding in value["coding"]:
            yield coding.get("system"), coding.get("code")
    elif isinstance(value, dict) and "use" in value:
        yield None, value.get("value")
    elif isinstance(value, dict):
        yield value.get("system"), value.get("code", value.get("value"))


def _display(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (one for one in (value.get("text"), value.get("display")) if one)
        yield from (one["display"] for one in value.get("coding", []) if "display" in one)
        if "type" in value and "text" in value["type"]:
            yield value["type"]["text"]


# --- string, uri, reference ---------------------------------------------------------------------------------


def _string(value: object, modifier: str, text: str, _: JsonObject) -> bool:
    name = isinstance(value, dict)  # of a person
    if modifier == "exact":
        return text in _texts(value)
    if modifier == "contains":
        return any(_folded(text) in _folded(one) for one in _texts(value))
    return any(_prefixes(text, one, name=name) for one in _texts(value))


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    members = (
        "family",
        "given",
        "prefix",
        "suffix",
        "text",
        "line",
        "city",
        "district",
        "state",
        "country",
        "postalCode",
    )
    return [text for member in members if isinstance(value, dict) for text in _texts(value.get(member, []))]


def _folded(text: str) -> str:
    apart = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^\w\s]|_", "", apart.casefold()).split())


def _prefixes(text: str, whole: str, *, name: bool) -> bool:
    """A hyphen may be left out, or be a space; names are found from each word on."""
    for spelled in ("", " "):
        sought, read = (_folded(one.replace("-", spelled)) for one in (text, whole))
        starts = [0, *(found.end() for found in re.finditer(" ", read))] if name else [0]
        if any(read.startswith(sought, at) for at in starts):
            return True
    return False


def _uri(value: object, modifier: str, text: str, resource: JsonObject) -> bool:
    assert isinstance(value, str)
    if modifier == "below" and "|" not in text:
        return value == text or value.startswith((text + "/", text + "|"))
    if modifier == "above":
        return text == value or text.startswith((value + "/", value + "|"))
    url, bar, version = text.partition("|")
    return value == text or (value == url and (not bar or resource.get("version") == version))


def _reference(value: object, modifier: str, text: str, _: JsonObject) -> bool:
    if modifier == "identifier":
        return isinstance(value, dict) and "identifier" in value and _token(value["identifier"], "", text, {})
    literal = value["reference"] if isinstance(value, dict) and "reference" in value else ""
    if modifier:
        text = text if "/" in text else f"{modifier}/{text}"
        if not text.removeprefix(HERE).startswith(modifier + "/"):
            return False
    if "/" not in text:
        local = _local(value)
        return local is not None and local.endswith("/" + text)
    if text.startswith("http") and not text.startswith(HERE):
        return bool(literal == text or literal.startswith(text + "/_history/"))
    sought = text.removeprefix(HERE)
    if "/_history/" in sought:
        return bool(literal.removeprefix(HERE) == sought)
    return _local(value) == sought


def _local(value: object) -> str | None:
    """`Type/id` of what it refers to on this server."""
    text = value.get("reference", "") if isinstance(value, dict) else ""
    found = re.fullmatch(r"([A-Z]\w+/[\w.-]+)(/_history/\w+)?", text.removeprefix(HERE))
    return found[1] if found else None


# --- date, number, quantity ---------------------------------------------------------------------------------


def _prefix(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2].isalpha() else ("eq", text)


def _date(value: object, _: str, text: str, __: JsonObject) -> bool:
    prefix, stated = _prefix(text)
    span, sought = _span_of(value), _span(stated)
    return span is not None and _compared(prefix, span, sought)


def _compared(prefix: str, span: tuple[Fraction, Fraction], sought: tuple[Fraction, Fraction]) -> bool:
    (a, b), (start, end) = span, sought
    within = start <= a and b <= end
    return {
        "eq": within,
        "ne": not within,
        "gt": b > end,
        "lt": a < start,
        "ge": b > end or within,
        "le": a < start or within,
        "sa": a >= end,
        "eb": b <= start,
    }[prefix]


def _span_of(value: object) -> tuple[Fraction, Fraction] | None:
    if isinstance(value, str):
        return _span(value)
    assert isinstance(value, dict)
    if "start" not in value and "end" not in value:
        return None
    begin = _span(value["start"])[0] if "start" in value else -_INFINITE
    end = _span(value["end"])[1] if "end" in value else _INFINITE
    return (begin, end) if begin < end else None


def _span(text: str) -> tuple[Fraction, Fraction]:
    if len(text) == 4:
        begin, end = datetime(int(text), 1, 1, tzinfo=UTC), datetime(int(text) + 1, 1, 1, tzinfo=UTC)
    elif len(text) == 7:
        year, month = int(text[:4]), int(text[5:])
        begin = datetime(year, month, 1, tzinfo=UTC)
        end = datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
    elif len(text) == 10:
        begin = datetime.fromisoformat(text).replace(tzinfo=UTC)
        end = begin + timedelta(days=1)
    else:
        begin = datetime.fromisoformat(text.replace("Z", "+00:00"))
        end = begin + timedelta(seconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return Fraction((begin - epoch).total_seconds()), Fraction((end - epoch).total_seconds())


def _number(value: object, _: str, text: str, __: JsonObject) -> bool:
    prefix, stated = _prefix(text)
    ends = _ends(value)
    return ends is not None and _numeric(prefix, stated, ends, Fraction(1))


def _quantity(value: object, _: str, text: str, __: JsonObject) -> bool:
    number, *unit = text.split("|")
    prefix, stated = _prefix(number)
    assert isinstance(value, dict)
    ends = _ends(value)
    if ends is None:
        return False
    system, code = unit or ("", "")
    ours = value.get("system"), value.get("code"), value.get("unit")
    if system == ours[0] == "http://unitsofmeasure.org" and code in _UCUM and ours[1] in _UCUM:
        return _numeric(prefix, stated, ends, _UCUM[str(ours[1])] / _UCUM[code])
    if (system and (system, code) != ours[:2]) or (not system and code and code not in ours[1:]):
        return False
    return _numeric(prefix, stated, ends, Fraction(1))


def _numeric(prefix: str, stated: str, ends: tuple[Fraction, Fraction, str], factor: Fraction) -> bool:
    """`ends`: from, to, and which of them is not part of it."""
    low, high, without = ends[0] * factor, ends[1] * factor, ends[2]
    number = Fraction(stated)
    half = Fraction(1, 2) / Fraction(10) ** len(stated.partition(".")[2])
    within = number - half <= low and high < number + half
    return {
        "eq": within,
        "ne": not within,
        "gt": high > number,
        "lt": low < number,
        "ge": high > number or (high == number and without != "high"),
        "le": low < number or (low == number and without != "low"),
        "sa": low > number or (low == number and without == "low"),
        "eb": high < number or (high == number and without == "high"),
    }[prefix]


def _ends(value: object) -> tuple[Fraction, Fraction, str] | None:
    if not isinstance(value, dict):
        return (_fraction(value), _fraction(value), "")
    if "low" in value or "high" in value:
        low = _fraction(value["low"]["value"]) if "low" in value else -_INFINITE
        return low, _fraction(value["high"]["value"]) if "high" in value else _INFINITE, ""
    if "value" not in value:
        return None
    number = _fraction(value["value"])
    match value.get("comparator", ""):
        case "<":
            return -_INFINITE, number, "high"
        case ">=":
            return number, _INFINITE, ""
        case ">":
            return number, _INFINITE, "low"
    return number, number, ""


def _fraction(value: object) -> Fraction:
    return Fraction(bytes(value).decode() if isinstance(value, NumberLiteral) else str(value))


def _token_keys(_: Stored, value: object) -> list[object]:
    if isinstance(value, bool):
        return ["true" if value else "false"]
    return [code for _, code in _codes(value) if code is not None]


def _target_keys(stored: Stored, value: object) -> list[object]:
    name = _local(value)
    return [name] if name in stored.resources else []


def _quantity_keys(_: Stored, value: object) -> list[object]:
    """The unit or what it converts to, then the number; just above it counts for more."""
    ends = _ends(value)
    if not isinstance(value, dict) or ends is None:
        return []
    system, code, unit = (value.get(name) or "" for name in ("system", "code", "unit"))
    factor = _UCUM[code] if system == "http://unitsofmeasure.org" and code in _UCUM else None
    name = f"{system}|{code or unit}" if factor is None else f"{system}|g"
    return [(name, ends[0] * (factor or 1), ends[2] == "low")]


_SORTED: dict[str, Callable[[Stored, object], list[object]]] = {
    "token": _token_keys,
    "uri": lambda _, value: [value],
    "reference": _target_keys,
    "quantity": _quantity_keys,
}
_KINDS: dict[str, Callable[[object, str, str, JsonObject], bool]] = {
    "token": _token,
    "string": _string,
    "reference": _reference,
    "uri": _uri,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
}
