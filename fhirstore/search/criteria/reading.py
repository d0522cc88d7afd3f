"""Reads criteria: what one parameter demands of the resources of a type.

Chains (`subject:Patient.name=x`) and `_has` are criteria about another resource. Nothing is looked up here, so a
malformed search is refused at no cost.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from fhirstore.errors import InvalidResource, Unsupported
from fhirstore.fhir.definitions.ids import is_id
from fhirstore.fhir.search_parameters.references import target
from fhirstore.index.local.catalogue import BEYOND, CONTENT, NARRATIVE, Catalogue, Indexed
from fhirstore.search.criteria.choices import modifiers_there, parameters_there, references_there
from fhirstore.search.criteria.criterion import (
    AnyOf,
    ById,
    ByTime,
    ByValue,
    Chained,
    Criterion,
    InElement,
    Missing,
    Referred,
)
from fhirstore.search.criteria.last_updated import periods_of
from fhirstore.search.criteria.query import MOST_VALUES, shown
from fhirstore.search.criteria.refusals import (
    NewParameter,
    NoReference,
    UnknownParameter,
    UnsupportedParameter,
    never_modified,
)
from fhirstore.search.criteria.token import parts_of, split, unescaped
from fhirstore.search.criteria.words import AllOf, Sought, Word, sought_words

MOST_HOPS = 5
MOST_CRITERIA = 2_000
"""Criteria of a search, each type that is searched, or that a chain may lead to, counted."""

OF_TERMINOLOGY = ("in", "not-in", "above", "below")
"""Modifiers of tokens that value sets and code systems decide: see `fhirstore.search.criteria.terminology`."""
_MODIFIERS = {
    "token": ("not", "text", "of-type", *OF_TERMINOLOGY),
    "string": ("exact", "contains"),
    "reference": ("identifier", "below"),
    "uri": ("above", "below"),
}
_NEED_TERMINOLOGY = frozenset(("in", "not-in", "above", "below", "code-text", "text-advanced", "text"))
OF_THE_ANSWER = frozenset(("_summary", "_elements", "_contained", "_containedType", "_format", "_pretty", "_score"))
"""Parameters about the form of the answer."""
_NEVER_MODIFIED = ("_sort:", "_count:", "_total:", "_type:", *(f"{name}:" for name in sorted(OF_THE_ANSWER)))


@dataclass(slots=True)
class Reading:
    """Reads criteria. `bases`: of this server, which the index does not know. `values`, `criteria`: how many are left
    to read. `weight`: see `Query`.
    """

    catalogue: Catalogue
    now: int
    bases: frozenset[str] = frozenset()
    values: int = MOST_VALUES
    criteria: int = MOST_CRITERIA
    weight: int = 0

    def of_types(self, types: Sequence[str], name: str, value: str) -> Iterator[Criterion]:
        """Yields what one parameter demands of resources of each type. Of several, those that cannot have a narrative
        have none.
        """
        values = self.values
        if name in ("_id", "_lastUpdated") and types:
            same = self.criterion(types[0], name, value)
            self.criteria -= len(types) - 1
            self._check_criteria()
            yield from repeat(same, len(types))
            return
        for one in types:
            self.values = values
            if name == NARRATIVE and len(types) > 1 and name not in self.catalogue.definitions.search_parameters[one]:
                yield AnyOf(())
            else:
                yield self.criterion(one, name, value)

    def criterion(self, type: str, name: str, value: str, hops: int = 0) -> Criterion:
        """Returns what one parameter demands of resources of the type."""
        if hops > MOST_HOPS:
            raise InvalidResource(f"A chain has more than {MOST_HOPS} links", code="too-costly")
        self.criteria -= 1
        self._check_criteria()
        self.weight += 1
        if name.startswith(_NEVER_MODIFIED):
            raise never_modified(name)
        if name.startswith("_has:") or name == "_has":
            return self._referred(name, value, hops)
        head, dot, rest = name.partition(".")
        code, _, modifier = head.partition(":")
        if dot:
            return self._chained(self._reference(type, code), modifier, (rest, value), hops)
        texts = split(value, ",")
        self.values -= len(texts)
        if self.values < 0:
            raise InvalidResource(f"The search has more than {MOST_VALUES:,} values", code="too-costly")
        self.weight += len(texts) if code not in ("_id", "_lastUpdated") else -1
        try:
            if not all(texts):
                raise ValueError("it has no value")
            return self._of_values(type, code, modifier, tuple(texts))
        except ValueError as wrong:
            raise InvalidResource(f"The search parameter '{code}' cannot be read: {wrong}", code="value") from wrong

    def _check_criteria(self) -> None:
        if self.criteria < 0:
            text = "The search asks for too much of too many types; name the types of chains (subject:Patient.name)"
            raise InvalidResource(text, code="too-costly")

    def _of_values(self, type: str, code: str, modifier: str, texts: tuple[str, ...]) -> Criterion:
        if code in ("_id", "_lastUpdated"):
            if modifier:
                raise Unsupported(f"The modifier ':{shown(modifier)}' of '{code}' is not supported")
            if code == "_id":
                return ById(frozenset(id_ for text in texts if is_id(id_ := unescaped(text))))
            return ByTime(tuple(one for text in texts for one in periods_of(unescaped(text), now=self.now)))
        if code == "_list":
            return self._listed(modifier, texts)
        indexed = self.parameter(type, code)
        if indexed.sides:
            return self._composite(indexed, modifier, texts)
        if modifier == "missing":
            if texts not in (("true",), ("false",)):
                raise ValueError("with :missing it is true or false")
            return Missing(indexed, texts == ("true",))
        modified = self.never_modified(indexed, modifier)
        if indexed.kind == "words":
            return self._worded(indexed, texts)
        if modified.kind == "reference" and modifier != "below":
            texts = tuple(self._spelled(texts, modifier))
        return ByValue(modified, modifier, texts)

    def _spelled(self, texts: Iterable[str], modifier: str) -> Iterator[str]:
        """Yields references to this server as the index has them: relative where they were written so, and absolute
        where it does not know the base.
        """
        for text in texts:
            base = next((one for one in self.bases if text.startswith(one)), "")
            relative = text.removeprefix(base)
            at = target(unescaped(relative))
            if at is None or at[0] or "|" in relative:
                yield text
                continue
            yield relative
            if not modifier:
                yield from (f"{one}{relative}" for one in sorted(self.bases))

    def _composite(self, indexed: Indexed, modifier: str, texts: tuple[str, ...]) -> Criterion:
        """Of the resource itself, a composite is its components; in an element, they belong together."""
        if modifier:
            text = f"'{indexed.name}' is a composite, and has no modifier ':{shown(modifier)}'"
            raise InvalidResource(text, code="not-supported")
        wanted = tuple(tuple(parts_of(text, len(indexed.parameter.components))) for text in texts)
        alternatives: list[tuple[Criterion, ...]] = []
        for side in indexed.sides:
            if side.parameters:
                alternatives += [
                    tuple(ByValue(one, "", (part,)) for one, part in zip(side.parameters, parts, strict=True))
                    for parts in wanted
                ]
            else:
                alternatives.append((InElement(indexed, side, wanted),))
        return AnyOf(tuple(alternatives))

    def _worded(self, indexed: Indexed, texts: tuple[str, ...]) -> Criterion:
        """`_text`, `_content`: words, as they are compared."""

        def criterion(sought: Sought) -> Criterion:
            match sought:
                case Word(text, negated):
                    self.values -= 1
                    return ByValue(indexed, "not" if negated else "", (text,))
                case AllOf():
                    return AnyOf((together(sought),))
            words = tuple(one.text for one in sought.parts if isinstance(one, Word) and not one.negated)
            if len(words) == len(sought.parts):
                return ByValue(indexed, "", words)
            return AnyOf(tuple(map(together, sought.parts)))

        def together(sought: Sought) -> tuple[Criterion, ...]:
            return tuple(map(criterion, sought.parts)) if isinstance(sought, AllOf) else (criterion(sought),)

        found = AnyOf(tuple(together(sought_words(unescaped(text))) for text in texts))
        if self.values < 0:
            raise InvalidResource(f"The search has more than {MOST_VALUES:,} words", code="too-costly")
        return found

    def _listed(self, modifier: str, texts: tuple[str, ...]) -> Criterion:
        """`_list`: what a List has among its items, those marked as deleted included."""
        if modifier:
            raise Unsupported(f"The modifier ':{shown(modifier)}' of '_list' is not supported")
        if any(text.startswith("$") for text in texts):
            raise Unsupported("'_list' by function, such as $current-allergies, is not supported")
        ids = [unescaped(text).removeprefix("List/") for text in texts]
        if not all(map(is_id, ids)):
            raise ValueError("it is the id of a List")
        return Referred(self._reference("List", "item"), ById(frozenset(ids)))

    def parameter(self, type: str, code: str) -> Indexed:
        """Returns a parameter that can be answered. Raises UnknownParameter, NewParameter, Unsupported."""
        indexed = self.catalogue.parameters(type).get(code)
        parameter = self.catalogue.definitions.search_parameters[type].get(code)
        if parameter is None:
            unused = self.catalogue.refused.get((type, code))
            why = "" if unused is None else f". {unused}"
            there = parameters_there(self.catalogue, type, of_all=code.startswith("_"))
            raise UnknownParameter(f"FHIR has no search parameter '{shown(code)}' of {type}; it has {there}{why}")
        if indexed is not None:
            return indexed
        if code in (NARRATIVE, CONTENT):
            text = f"The search parameter '{code}' is not indexed here: FHIRSTORE_INDEX_TEXT (IndexOptions.text) is "
            raise UnsupportedParameter(f"{text}'{self.catalogue.texts}'")
        if code in self.catalogue.filling(type):
            text = f"The search parameter '{code}' of {type} is new, and is being indexed; try again later"
            raise NewParameter(text)
        if code in BEYOND or parameter.type in ("special", "composite") or not parameter.expression:
            raise UnsupportedParameter(f"The search parameter '{code}' ({parameter.type}) is not supported")
        raise UnsupportedParameter(f"The search parameter '{code}' is not supported")

    def never_modified(self, indexed: Indexed, modifier: str) -> Indexed:
        """Returns what holds the rows for this modifier. Raises InvalidResource, Unsupported, ValueError."""
        kind = indexed.kind
        of_type = kind == "reference" and modifier in self.catalogue.definitions.resources
        if of_type and indexed.parameter.targets and modifier not in indexed.parameter.targets:
            raise ValueError(f"it does not refer to a {modifier}")
        if not (modifier in ("", *_MODIFIERS.get(kind, ())) or of_type):
            if modifier in _NEED_TERMINOLOGY:
                raise Unsupported(f"The modifier ':{modifier}' of '{indexed.name}' is not supported")
            there = modifiers_there(self.catalogue, indexed, _MODIFIERS.get(kind, ()))
            text = f"'{indexed.name}' has no modifier ':{shown(modifier)}'; it has {there}"
            raise InvalidResource(text, code="not-supported")
        if modifier in ("text", "of-type", "identifier"):
            other = self.catalogue.parameters(indexed.type).get(f"{indexed.name}:{modifier}")
            if other is None:
                raise ValueError(f":{modifier} is not for its elements")
            return other
        if (kind, modifier) == ("reference", "below") and not indexed.of_canonicals:
            raise ValueError(":below is not for its elements")
        return indexed

    def _reference(self, type: str, code: str) -> Indexed:
        indexed = self.parameter(type, code)
        if indexed.kind != "reference":
            there = references_there(self.catalogue, type)
            raise NoReference(f"'{code}' of {type} is no reference; these are: {there}", code="value")
        return indexed

    def _chained(self, indexed: Indexed, modifier: str, rest: tuple[str, str], hops: int) -> Criterion:
        """`rest`: the name and the value of what is chained."""
        code = indexed.name
        known = self.catalogue.definitions.resources
        if modifier and modifier not in known:
            raise InvalidResource(f"'{code}' is chained with :Type, not with ':{shown(modifier)}'", code="value")
        allowed = [one for one in indexed.parameter.targets or self.catalogue.types if one in known]
        if modifier and modifier not in allowed:
            text = f"'{code}' of {indexed.type} refers to no {modifier}; it refers to {', '.join(sorted(allowed))}"
            raise InvalidResource(text, code="value")
        wanted = [modifier] if modifier else self._having(allowed, rest[0])
        found: list[tuple[str, Criterion]] = []
        refused: InvalidResource | None = None
        values = self.values
        for one in wanted:
            self.values = values
            try:
                found.append((one, self.criterion(one, *rest, hops + 1)))
            except (UnknownParameter, NoReference) as error:
                refused = error
        if not found:
            raise refused or InvalidResource(f"'{code}' refers to nothing that could be chained", code="value")
        return Chained(indexed, tuple(found))

    def _having(self, types: list[str], name: str) -> list[str]:
        """Returns the types that have what is chained; one of them where none has it, which is told about then."""
        code = name.partition(".")[0].partition(":")[0]
        parameters = self.catalogue.definitions.search_parameters
        return [one for one in types if code.startswith("_") or code in parameters[one]] or types[:1]

    def _referred(self, name: str, value: str, hops: int) -> Criterion:
        _, type_, code, rest = (*name.split(":", 3), "", "", "")[:4]
        if type_ not in self.catalogue.definitions.resources or not code or not rest:
            raise InvalidResource("'_has' is _has:Type:reference:parameter", code="value")
        return Referred(self._reference(type_, code), self.criterion(type_, rest, value, hops + 1))
