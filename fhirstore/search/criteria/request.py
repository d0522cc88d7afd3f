"""Reads what a search asks for from its parameters.

Repeated parameters are combined by AND, values separated by commas by OR. Nothing is looked up here, so a malformed
search is refused at no cost.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from fhirstore.errors import FhirError, InvalidResource, UnknownType, Unsupported
from fhirstore.index.local.catalogue import Catalogue
from fhirstore.search.criteria.choices import parameters_there, references_there
from fhirstore.search.criteria.criterion import DEFAULT_COUNT, MOST_COUNT, Criterion, Include, Query, SortKey
from fhirstore.search.criteria.query import shown
from fhirstore.search.criteria.reading import OF_THE_ANSWER, Reading
from fhirstore.search.criteria.refusals import UnknownParameter, UnsupportedParameter, not_of_all

MOST_SORT_KEYS = 8
MOST_INCLUDES = 100
_SORTED_WITHOUT_ROWS = ("_id", "_lastUpdated")
_TOTALS = ("none", "estimate", "accurate")


def parse_search(
    catalogue: Catalogue,
    type: str | None,
    pairs: Iterable[tuple[str, str]],
    *,
    now: int,
    lenient: bool = False,
    bases: Collection[str] = (),
) -> Query:
    """Returns the search of a type (None: of all types, or those of `_type`). `pairs`: unquoted. `now`: epoch ms.

    `lenient`: ignore unknown parameters. `bases`: under which whoever asks knows this server, each with a slash at the
    end, beside those of the catalogue. Raises UnknownType; InvalidResource for what is malformed, too much, or a
    modifier that FHIR does not define here; Unsupported for what is not answered.
    """
    given = list(pairs)
    types = _types(catalogue, type, given)
    reading = Reading(catalogue, now, frozenset(bases) - catalogue.bases)
    asked = _Asked()
    criteria: list[list[Criterion]] = [[] for _ in types]
    for name, value in given:
        if name in OF_THE_ANSWER:
            if name == "_contained" and value != "false":
                raise _contained(value)
            asked.answer.append((name, value))
        elif name in _RESULTS:
            _RESULTS[name](asked, value)
            asked.used.append((name, str(asked.count) if name == "_count" else value))
        elif (include := _include_of(catalogue, name, value)) is not None:
            asked.includes.append(include)
            asked.used.append((name, value))
        elif name == "_type" and type is None:
            asked.used.append((name, value))
        else:
            try:
                found = list(reading.of_types(types, name, value))
            except (UnknownParameter, UnsupportedParameter) as error:
                if not lenient:
                    if type is None and len(types) > 1 and isinstance(error, UnknownParameter):
                        raise not_of_all(name) from None
                    raise
                asked.ignored.append((name, value))
                continue
            for some, criterion in zip(criteria, found, strict=True):
                some.append(criterion)
            asked.used.append((name, value))
    _check_sort(reading, types, asked.sort)
    if len(asked.includes) > MOST_INCLUDES:
        raise InvalidResource(f"The search has more than {MOST_INCLUDES} includes", code="too-costly")
    return Query(
        tuple(zip(types, map(tuple, criteria), strict=True)),
        tuple(asked.sort),
        asked.count,
        asked.total,
        tuple(dict.fromkeys(asked.includes)),
        tuple(asked.answer),
        tuple(asked.used),
        tuple(asked.ignored),
        everywhere=type is None and not any(name == "_type" for name, _ in given),
        weight=reading.weight,
    )


def _check_sort(reading: Reading, types: Sequence[str], sort: Iterable[SortKey]) -> None:
    """Raises UnknownParameter, NewParameter, Unsupported. The keys are values of a parameter: they are not repeated."""
    for number, key in enumerate(sort, 1):
        if key.code in _SORTED_WITHOUT_ROWS:
            continue
        for one in types:
            try:
                reading.parameter(one, key.code)
            except UnknownParameter:
                there = parameters_there(reading.catalogue, one)
                text = f"Key {number} of _sort is no search parameter of {one}; it has {there}"
                raise UnknownParameter(text) from None


@dataclass(slots=True)
class _Asked:
    sort: list[SortKey] = field(default_factory=list)
    count: int = DEFAULT_COUNT
    total: str = ""
    includes: list[Include] = field(default_factory=list)
    answer: list[tuple[str, str]] = field(default_factory=list)
    used: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[tuple[str, str]] = field(default_factory=list)

    def take_sort(self, value: str) -> None:
        for text in value.split(","):
            code = text.removeprefix("-")
            if not code:
                raise InvalidResource("_sort has an empty key", code="value")
            self.sort.append(SortKey(code, text.startswith("-")))
        if len(self.sort) > MOST_SORT_KEYS:
            raise InvalidResource(f"_sort has more than {MOST_SORT_KEYS} keys", code="too-costly")

    def take_count(self, value: str) -> None:
        self.count = count_of([value])

    def take_total(self, value: str) -> None:
        if value not in _TOTALS:
            raise InvalidResource(f"_total is one of {', '.join(_TOTALS)}", code="value")
        self.total = value

    def take_total_method(self, value: str) -> None:
        """fhirpy's `count()` sends it with `_count=0`, as the server that it was made for has it."""
        if value != "count":
            raise InvalidResource("_totalMethod is count; FHIR has _total", code="value")
        self.total = "accurate"


_RESULTS = {
    "_sort": _Asked.take_sort,
    "_count": _Asked.take_count,
    "_total": _Asked.take_total,
    "_totalMethod": _Asked.take_total_method,
}


def count_of(values: Sequence[str]) -> int:
    """Returns the number of matches on a page, from the values of `_count`. Raises InvalidResource."""
    if not all(value.isascii() and value.isdigit() and len(value) <= 9 for value in values):
        raise InvalidResource("_count must be a whole number, 0 or more", code="value")
    return min(int(values[-1]), MOST_COUNT) if values else DEFAULT_COUNT


def _contained(value: str) -> FhirError:
    if value in ("true", "both"):
        return Unsupported("_contained is not supported: resources inside of others are not searched")
    return InvalidResource("_contained is true, false or both", code="value")


def _types(catalogue: Catalogue, type: str | None, pairs: Sequence[tuple[str, str]]) -> list[str]:
    known = catalogue.definitions.resources
    if type is not None:
        if type not in known:
            raise UnknownType(f"FHIR has no resource type {shown(type)}")
        return [type]
    found = set(catalogue.types)
    for name, value in pairs:
        if name == "_type":
            wanted = value.split(",")
            if not known.issuperset(wanted):
                number = next(number for number, one in enumerate(wanted, 1) if one not in known)
                raise InvalidResource(f"_type names what is no resource type: number {number}", code="value")
            found &= set(wanted)
    return sorted(found)


def _include_of(catalogue: Catalogue, name: str, value: str) -> Include | None:
    """Returns what `_include=Type:code:Target` asks for; None for another parameter."""
    code, _, modifier = name.partition(":")
    if code not in ("_include", "_revinclude"):
        return None
    if modifier not in ("", "iterate", "recurse"):
        raise InvalidResource(f"'{code}' has no modifier ':{shown(modifier)}'", code="not-supported")
    type_, _, rest = value.partition(":")
    along, _, target = rest.partition(":")
    known = catalogue.definitions.resources
    if value == "*":
        type_, along = "*", "*"
    elif type_ not in known or (target and target not in known):
        raise InvalidResource(f"'{code}' is Type:parameter or Type:parameter:Type", code="value")
    elif along != "*":
        indexed = catalogue.parameters(type_).get(along)
        if indexed is None or indexed.kind != "reference":
            text = f"'{code}' needs a parameter of {type_} that is a reference: {references_there(catalogue, type_)}"
            raise InvalidResource(text, code="value")
    return Include(type_, along, target, code == "_revinclude", modifier != "")
