"""One criterion as a condition: a test of a resource, and where possible accesses to all resources that pass it.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.fhir.definitions.facts import SearchParameter
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.search_parameters.references import target
from fhirstore.fhir.search_parameters.values import normalized, words_of
from fhirstore.index.local.catalogue import Indexed
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.rows import BARE, NO_CODE, NO_SYSTEM, ONLY_BY_CODE, readings_of, typed_identifier
from fhirstore.search.criteria.criterion import ByValue, Missing
from fhirstore.search.criteria.reading import OF_TERMINOLOGY
from fhirstore.search.criteria.token import split, unescaped
from fhirstore.search.matching.numbers import Sought, quantity, sought_number
from fhirstore.search.matching.tokens import Tokens, implied_systems
from fhirstore.search.plans.ranges import Sizes, date_sources
from fhirstore.search.plans.sources import Binder, Condition, Source, as_list, several
from fhirstore.search.plans.units import in_unit, units_like

_VERSION = re.compile(r"/_history/([A-Za-z0-9.-]{1,64})(?:[#|].*)?$", re.DOTALL)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.+", re.DOTALL)
_LAST = "\U0010ffff"
_FEW = 8
_MOST_CODES = 10_000
_MOST_SEGMENTS = 100


@dataclass(frozen=True, slots=True)
class Conditions:
    """Makes conditions of criteria that are about the resource itself."""

    reader: Reader
    bind: Binder
    now: int

    def missing(self, criterion: Missing, type: int) -> Condition:
        """By the shapes of resources: which parameters have a value."""
        shapes = self.reader.once(_shapes, criterion.indexed.pid, type, lacking=criterion.wanted)
        source = Source("resource", f"{{x}}.shape IN {self.bind.any_of(shapes)}")
        return Condition((source,), drives=(source,), typed=True, once=True)

    def in_compartment(self, types: Sequence[str], compartment: str, id: str) -> Condition:
        """Of these types: the resource itself, and what refers to it by a parameter of the compartment."""
        catalogue, target = self.reader.catalogue, self.bind(self.reader.hashed(f"{compartment}/{id}"))
        possible = tuple([one.pid for type_ in types for one in catalogue.members(compartment, type_)])
        numbers = self.reader.once(_referring, possible)
        sources: list[Source] = []
        if numbers:
            sources.append(Source("reference", f"{{x}}.pid IN {self.bind.any_of(numbers)} AND {{x}}.target = {target}"))
        if compartment in types:
            sources.append(Source("resource", f"{{x}}.name = {target}"))
        return Condition(tuple(sources), drives=tuple(sources), typed=True, few=True)

    def of_value(self, criterion: ByValue) -> Condition:
        """Returns the condition. Raises ValueError for a malformed value."""
        indexed, modifier, texts = criterion.indexed, criterion.modifier, criterion.texts
        match indexed.kind:
            case "token" if modifier in OF_TERMINOLOGY:
                raise Unsupported(f"The modifier ':{modifier}' of '{indexed.name}' is not supported here")
            case "token" | "identifier":
                return self._tokens(indexed, texts, negated=modifier == "not")
            case "typed":
                return self._same(_typed(indexed, texts, self.bind, self.reader))
            case "string" | "text":
                return self._same(source for text in texts for source in self._strings(indexed, modifier, text))
            case "words":
                return self._words(indexed, texts, negated=modifier == "not")
            case "reference" if modifier == "below":
                return self._same(self._below(indexed, unescaped(text)) for text in texts)
            case "reference":
                return self._references(indexed, modifier, texts)
            case "uri":
                return self._uris(indexed, modifier, texts)
            case "date":
                return self._split(source for text in texts for source in date_sources(indexed, [text], now=self.now))
        return self._of_sizes(indexed, self._sizes_of([criterion]))

    def _same(self, sources: Iterable[Source]) -> Condition:
        some = tuple(sources)
        return Condition(some, drives=some)

    def _split(self, sources: Iterable[tuple[Source, bool]]) -> Condition:
        """`sources`: each with whether it is worth driving."""
        some = list(sources)
        return Condition(
            tuple(one for one, _ in some), drives=tuple(one for one, _ in some) if all(is_ for _, is_ in some) else ()
        )

    # --- token ----------------------------------------------------------------------------------------------

    def _tokens(self, indexed: Indexed, texts: Sequence[str], *, negated: bool) -> Condition:
        wanted, whole = self.coded(indexed, texts)
        wanted = {one for one in wanted if one[1] != BARE or BARE in self.systems(indexed.pid, one[0])}
        sources = [*self._coded(indexed.pid, wanted), *(self._of_system(indexed, one) for one in sorted(whole))]
        codes = tuple(sorted(wanted)) if not (negated or whole) and len(wanted) <= _FEW else ()
        return Condition(tuple(sources), negated, () if negated else tuple(sources), codes=codes)

    def coded(self, indexed: Indexed, texts: Sequence[str]) -> tuple[set[tuple[int, int]], set[int]]:
        """Returns the codes that are searched for, as the hash of the code and the number of its system, and the
        systems of which any code is. Raises ValueError for a malformed value.
        """
        tokens, hashed, pid = Tokens.of(texts), self.reader.hashed, indexed.pid
        if indexed.kind == "token":
            _check_tokens(indexed, tokens)
        wanted: set[tuple[int, int]] = set()  # code, system
        whole: set[int] = set()  # systems, with any code
        bare = {code for system, code in tokens.pairs if system is None} | tokens.codes
        for code in tokens.codes:
            wanted |= {(hashed(code), system) for system in self.systems(pid, hashed(code)) if system != BARE}
        for system, code in tokens.pairs:
            number = NO_SYSTEM if system is None else self.reader.system(system)
            if number is not None:
                wanted.add((hashed(code), number))
        whole |= {number for system in tokens.systems if (number := self.reader.system(system)) is not None}
        if indexed.of_codes:
            bare |= self._implied(indexed, tokens)
        fold = str.casefold if indexed.folded else str
        return wanted | {(hashed(fold(code)), BARE) for code in bare}, whole

    def _coded(self, pid: int, wanted: Collection[tuple[int, int]]) -> Iterator[Source]:
        """Yields sources for codes with their systems: one for each, or one for each system if there are many."""
        if len(wanted) <= _FEW:
            for code, system in sorted(wanted):
                test = f"{{x}}.pid = {pid} AND {{x}}.code = {self.bind(code)} AND {{x}}.system = {system}"
                yield Source("token", test, ordered=True)
            return
        for system in sorted({system for _, system in wanted}):
            codes = self.bind.any_of(code for code, its in wanted if its == system)
            yield Source("token", f"{{x}}.pid = {pid} AND {{x}}.code IN {codes} AND {{x}}.system = {system}")

    def _of_system(self, indexed: Indexed, system: int) -> Source:
        """Returns the source for any code of a system: by rows for that, or by all codes that resources have in it."""
        pid = indexed.pid
        if "Identifier" in indexed.path.types:
            test = f"{{x}}.pid = {pid} AND {{x}}.code = {NO_CODE} AND {{x}}.system = {system}"
            return Source("token", test, ordered=True)
        some = self.bind.any_of(self.codes_of(indexed, system, most=_MOST_CODES))
        return Source("token", f"{{x}}.pid = {pid} AND {{x}}.code IN {some} AND {{x}}.system = {system}")

    def codes_of(self, indexed: Indexed, system: int, *, most: int) -> list[int]:
        """Returns the hashes of all codes that resources have in a system, by seeks. Raises InvalidResource."""
        pid, codes = indexed.pid, set[int]()
        for table in ("token", "token_old"):
            following = f"SELECT min(code) FROM {table} WHERE pid = ? AND code > ?"
            with_system = f"SELECT 1 FROM {table} WHERE pid = ? AND code = ? AND system = ? LIMIT 1"
            last = -(2**63)
            while (found := self.reader.rows(following, (pid, last))[0][0]) is not None:
                last = int(str(found))
                if self.reader.rows(with_system, (pid, last, system)):
                    codes.add(last)
                if len(codes) > most:
                    text = f"The system of '{indexed.name}' has more than {most:,} codes here; name some"
                    raise InvalidResource(text, code="too-costly")
        return sorted(codes)

    def systems(self, pid: int, code: int) -> Sequence[int]:
        """Returns the systems in which resources have, or had, this code, by seeks; one may come twice."""
        return self.reader.once(_systems, pid, code)

    def _implied(self, indexed: Indexed, tokens: Tokens) -> set[str]:
        """Returns codes of elements of type code that are asked for together with their system."""
        implied = implied_systems(self.reader.catalogue.definitions, indexed.path)
        if implied is None:
            return {code for _, code in tokens.pairs}
        found = {code for system, code in tokens.pairs if system and code in implied.get(system, ())}
        return found.union(*(implied.get(system, frozenset()) for system in tokens.systems))

    # --- string, uri, reference -----------------------------------------------------------------------------

    def _strings(self, indexed: Indexed, modifier: str, text: str) -> Iterator[Source]:
        sought, bind, pid = unescaped(text), self.bind, indexed.pid
        if modifier == "exact":
            (mark, plain), *_ = readings_of(sought)
            exact = bind(self.reader.hashed(sought))
            yield Source(
                "string", f"{{x}}.pid = {pid} AND {{x}}.text = {bind(mark + plain)} AND {{x}}.exact = {exact}", True
            )
            return
        plain, words = normalized(sought), words_of(sought)[1:]
        if not plain:
            raise ValueError("it has neither letters nor digits")
        if modifier == "contains":
            yield Source("string", f"{{x}}.pid = {pid} AND {{x}}.exact <> 0 AND instr({{x}}.text, {bind(plain)}) > 0")
            return
        for begin in dict.fromkeys((plain, words, f"+{plain}", f"-{words}")):
            if indexed.kind == "text":
                yield _phrases("text", pid, _begins("text", begin, bind))
            else:
                yield Source("string", f"{{x}}.pid = {pid} AND {_begins('{x}.text', begin, bind)}")

    def _words(self, indexed: Indexed, words: Sequence[str], *, negated: bool) -> Condition:
        """Any of the words, as they are compared."""
        hashes, pid = [self.reader.hashed(word) for word in words], indexed.pid
        if len(hashes) > _FEW:
            test = f"{{x}}.pid = {pid} AND {{x}}.word IN {self.bind.any_of(hashes)}"
            sources: tuple[Source, ...] = (Source("word", test),)
        else:
            tests = (f"{{x}}.pid = {pid} AND {{x}}.word = {self.bind(one)}" for one in hashes)
            sources = tuple(Source("word", test, ordered=True) for test in tests)
        return Condition(sources, negated, () if negated else sources)

    def _below(self, indexed: Indexed, sought: str) -> Source:
        """The versions of a canonical."""
        begin = sought + ("." if "|" in sought else "|")
        return _phrases("uri", indexed.pid, f"text = {self.bind(sought)}", _begins("text", begin, self.bind))

    def _uris(self, indexed: Indexed, modifier: str, texts: Sequence[str]) -> Condition:
        bind = self.bind
        sources: list[Source] = []
        for text in texts:
            sought = unescaped(text)
            if modifier and not _URL.fullmatch(sought):
                raise ValueError(f":{modifier} is for URLs; it is none")
            tests = [f"text = {bind(sought)}"]
            if modifier == "above":
                tests = [f"text IN {bind.any_of(_beginnings(sought))}"]
            elif modifier and "|" in sought:
                tests.append(_begins("text", sought + ".", bind))
            elif modifier:
                start = sought.rstrip("/")
                tests = [f"text = {bind(start)}", *(_begins("text", start + begin, bind) for begin in "/|")]
            elif "|" not in sought:
                tests.append(_begins("text", sought + "|", bind))
            source = _phrases("uri", indexed.pid, *tests)
            written = modifier == "above" or (modifier and "|" in sought)
            sources.append(Source("uri", f"{source.test} AND {{x}}.derived = 0") if written else source)
        return self._same(sources)

    def _references(self, indexed: Indexed, modifier: str, texts: Sequence[str]) -> Condition:
        pid, hashes = indexed.pid, self.targets(indexed, modifier, texts)
        if len(hashes) > _FEW:
            test = f"{{x}}.pid = {pid} AND {{x}}.target IN {self.bind.any_of(hashes)}"
            return self._same([Source("reference", test)])
        tests = (f"{{x}}.pid = {pid} AND {{x}}.target = {self.bind(one)}" for one in hashes)
        return self._same(Source("reference", test, ordered=True) for test in tests)

    def targets(self, indexed: Indexed, modifier: str, texts: Sequence[str]) -> list[int]:
        """Returns the hashes of all spellings of what is searched for. Raises ValueError."""
        wanted: dict[str, None] = {}
        for text in texts:
            wanted |= dict.fromkeys(self._spellings(indexed, modifier, unescaped(text)))
        return [self.reader.hashed(one) for one in wanted]

    def _spellings(self, indexed: Indexed, type: str, sought: str) -> Iterator[str]:
        """Yields the spellings under which the index has what is sought. Raises ValueError."""
        catalogue = self.reader.catalogue
        if is_id(sought):
            only = type or _target(indexed.type, indexed.parameter)
            yield from (f"{one}/{sought}" for one in ((only,) if only else catalogue.types))
            return
        at = None if "|" in sought else target(sought)
        if at is None and not _ABSOLUTE.fullmatch(sought):
            raise ValueError("a reference is id, Type/id or an absolute URL")
        if at is None or (at[0] and at[0] not in catalogue.bases):
            if type:
                raise ValueError("with a modifier :Type, a reference is one to this server")
            yield f"={sought}"
            if at is not None and "/_history/" not in sought:
                yield f"@{at[0]}{at[1]}/{at[2]}"
            return
        if type and at[1] != type:
            raise ValueError("its type is not that of the modifier")
        version = _VERSION.search(sought)
        yield f"{at[1]}/{at[2]}" + (f"/_history/{version[1]}" if version else "")

    # --- date, number, quantity -----------------------------------------------------------------------------

    def dates_together(self, criteria: Sequence[ByValue]) -> Condition | None:
        """Returns one condition for several criteria of one date parameter, each with one value: `ge2024` and `lt2025`
        are one range then. None where a resource may have several dates, of which one each might pass.

        Raises ValueError for a malformed value.
        """
        indexed = criteria[0].indexed
        if several(self.reader, indexed):
            return None
        return self._split(date_sources(indexed, [one.texts[0] for one in criteria], now=self.now))

    def sizes_together(self, criteria: Sequence[ByValue]) -> Condition | None:
        """Returns one condition for several criteria of one number or quantity, as `dates_together`."""
        indexed = criteria[0].indexed
        return None if several(self.reader, indexed) else self._of_sizes(indexed, self._sizes_of(criteria))

    def _of_sizes(self, indexed: Indexed, sizes: Iterable[Sizes]) -> Condition:
        some = tuple(sizes)
        found = self._split(source for one in some for source in one.sources(indexed, self.bind))
        return replace(found, sizes=some)

    def _sizes_of(self, criteria: Sequence[ByValue]) -> Iterator[Sizes]:
        """Yields the numbers that pass a criterion, or all of several, of one parameter and with one value each."""
        indexed = criteria[0].indexed
        if len(criteria) > 1:
            yield from self._sizes(indexed, [one.texts[0] for one in criteria])
            return
        for text in criteria[0].texts:
            yield from self._sizes(indexed, [text])

    def _sizes(self, indexed: Indexed, texts: Sequence[str]) -> list[Sizes]:
        """Returns the numbers that pass what all of the texts demand."""
        if indexed.kind == "number":
            return [Sizes((0,), tuple(sought_number(unescaped(text)) for text in texts))]
        quantities = [(sought, units_like(self.reader, unit)) for sought, unit in map(quantity, texts)]
        (_, alike), *others = quantities
        by_test: dict[tuple[Sought, ...], list[int]] = {}
        for number in alike:
            if all(number in also for _, also in others):
                test = tuple([in_unit(sought, also[number]) for sought, also in quantities])
                by_test.setdefault(test, []).append(number)
        return [Sizes(tuple(units), test) for test, units in by_test.items()]


def _referring(connection: sqlite3.Connection, pids: tuple[int, ...]) -> tuple[int, ...]:
    """Returns those parameters by which resources refer, or referred, to any other, by seeks: most types have none."""
    tables = ("reference", "reference_old")
    some = " OR ".join(f"EXISTS (SELECT 1 FROM {one} WHERE pid = d.value)" for one in tables)
    rows = connection.execute(f"SELECT d.value FROM json_each(?) d WHERE {some}", (as_list(pids),))
    return tuple(row[0] for row in rows)


def _shapes(connection: sqlite3.Connection, pid: int, type: int, *, lacking: bool) -> tuple[int, ...]:
    """Returns the shapes of a type with a value of a parameter, or without."""
    there = "SELECT shape FROM shape_parameter WHERE member IN (?, ?)"
    query = f"SELECT number FROM shape WHERE type = ? AND number {'NOT ' if lacking else ''}IN ({there})"
    return tuple(row[0] for row in connection.execute(query, (type, 2 * pid, 2 * pid + 1)))


def _systems(connection: sqlite3.Connection, pid: int, code: int) -> tuple[int, ...]:
    found: list[int] = []
    for table in ("token", "token_old"):
        query = f"SELECT min(system) FROM {table} WHERE pid = ? AND code = ? AND system > ?"
        last = ONLY_BY_CODE - 1
        while (row := connection.execute(query, (pid, code, last)).fetchone())[0] is not None:
            last = row[0]
            found.append(last)
    return tuple(found)


_RESOLVED = re.compile(r"\.where\(resolve\(\) is ([A-Za-z]+)\)\s*$")


@lru_cache(maxsize=10_000)
def _target(type: str, parameter: SearchParameter) -> str:
    """Returns the only type to which the parameter can refer, by its expression; empty where it may be any: references
    to types that the element does not allow are found, too.
    """
    branches = [one.strip() for one in parameter.expression.split("|")]
    found = [_RESOLVED.search(one) for one in branches if one.startswith(f"{type}.")]
    only = {one[1] if one is not None else "" for one in found}
    return only.pop() if len(only) == 1 else ""


def _check_tokens(indexed: Indexed, tokens: Tokens) -> None:
    """Raises ValueError for a system where the elements have none."""
    types = indexed.path.types
    if types and types <= {"ContactPoint", "uri", "boolean"} and (tokens.pairs or tokens.systems):
        raise ValueError("it has a |, but these elements have no system")
    if types == {"boolean"} and not tokens.codes <= {"true", "false"}:
        raise ValueError("it is true or false")


def _typed(indexed: Indexed, texts: Sequence[str], bind: Binder, reader: Reader) -> Iterator[Source]:
    for text in texts:
        parts = [unescaped(part) for part in split(text, "|")]
        if len(parts) != 3 or not all(parts):
            raise ValueError("with :of-type it is system|code|value")
        code = bind(reader.hashed(typed_identifier(parts[0], parts[1], parts[2])))
        yield Source("token", f"{{x}}.pid = {indexed.pid} AND {{x}}.code = {code} AND {{x}}.system = {NO_SYSTEM}", True)


def _phrases(table: str, pid: int, *tests: str) -> Source:
    """Returns the source of rows with a text that passes any of these tests."""
    numbers = " UNION ".join(f"SELECT number FROM phrase WHERE pid = {pid} AND {test}" for test in tests)
    return Source(table, f"{{x}}.pid = {pid} AND {{x}}.phrase IN ({numbers})")


def _begins(column: str, begin: str, bind: Binder) -> str:
    """Returns the test whether a text begins with another: a range of the index."""
    last = ord(begin[-1]) + 1
    after = begin[:-1] + (chr(0xE000 if 0xD800 <= last < 0xE000 else last) if begin[-1] != _LAST else _LAST * 2)
    return f"({column} >= {bind(begin)} AND {column} < {bind(after)})"


def _beginnings(url: str) -> Iterator[str]:
    """Yields the URLs that begin this one, segment by segment, however spelled. Raises ValueError."""
    whole = url.rstrip("/") + "/"
    if whole.count("/") > _MOST_SEGMENTS:
        raise ValueError(f"it has more than {_MOST_SEGMENTS} segments")
    for at, char in enumerate(whole):
        if char in "/|" and _URL.fullmatch(whole[:at]) and whole[:at].rstrip("/") == whole[:at]:
            yield whole[:at]
            yield whole[:at] + "/"
