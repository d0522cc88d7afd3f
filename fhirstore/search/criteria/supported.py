"""What searches of each type can ask for: parameters with their modifiers, prefixes and chains, and includes.

Nothing is listed here by hand: a parameter or a modifier is supported if the reader of searches takes it. So what the
CapabilityStatement claims is what is answered.

https://hl7.org/fhir/R4/capabilitystatement-definitions.html#CapabilityStatement.rest.resource.searchParam
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from fhirstore.errors import FhirError
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.index.local.catalogue import CONTENT, NARRATIVE, Catalogue, Texts
from fhirstore.search.criteria.prefixes import PREFIXES
from fhirstore.search.criteria.request import parse_search

_MODIFIERS = {
    "token": ("missing", "not", "text", "in", "not-in", "above", "below", "of-type", "text-advanced"),
    "string": ("missing", "exact", "contains", "text", "text-advanced"),
    "reference": ("missing", "identifier", "above", "below", "in", "not-in", "text", "text-advanced"),
    "uri": ("missing", "above", "below"),
}
"""All modifiers that a release of FHIR defines, by type of parameter; for other types there is `missing`."""
_ORDERED = frozenset({"number", "date", "quantity"})
_SAMPLES = {"date": "2020-01-01", "number": "1", "quantity": "1", "missing": "true"}
_FEW = 12
_KEPT = 9  # three releases, each with three kinds of full text
_OF_ALL_TYPES = "Basic"
"""A resource type whose parameters of no element of its own are those of all types."""


@dataclass(frozen=True, slots=True)
class SupportedParameter:
    """A search parameter of one type. `url`: of its definition. `type`: token, date … `modifiers`: without the colon.

    `prefixes`: of its values. `chains`: the types that a chain may lead to, none unless it is a reference.
    """

    name: str
    url: str
    type: str
    modifiers: tuple[str, ...]
    prefixes: tuple[str, ...]
    chains: tuple[str, ...]

    @property
    def filters(self) -> bool:
        """Whether `_typeFilter` of an export takes it: it is then decided by the resource alone, and not by words."""
        return self.name not in (NARRATIVE, CONTENT, "_list")

    @property
    def documentation(self) -> str:
        """What can be asked, as sentences; empty where it is a value alone."""
        return " ".join(self._sentences())

    def _sentences(self) -> Iterator[str]:
        if self.name in (NARRATIVE, CONTENT):
            yield "Words, with AND, OR, NOT and parentheses."
        if self.prefixes:
            yield f"Prefixes: {' '.join(self.prefixes)}."
        if self.modifiers:
            yield f"Modifiers: {' '.join(f':{one}' for one in self.modifiers)}."
        if self.chains:
            some = ", ".join(self.chains) if len(self.chains) <= _FEW else "any type"
            yield f"Refers to {some}: name one as a modifier (:Type), chain as {self.name}.[parameter]."


@dataclass(frozen=True, slots=True)
class SupportedSearch:
    """What searches can ask for in one FHIR release. Each type is worked out when it is first asked for: some ms."""

    catalogue: Catalogue
    _parameters: dict[str, tuple[SupportedParameter, ...]] = field(default_factory=dict, repr=False)
    _includes: dict[str, tuple[tuple[str, frozenset[str]], ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, definitions: Definitions, *, texts: Texts = "narrative") -> SupportedSearch:
        """Returns what searches by the official parameters of a release can ask for. `texts`: what full text is indexed
        (`IndexOptions.text`).
        """
        return _official(definitions, texts)

    @property
    def own_types(self) -> frozenset[str]:
        """The types whose searches differ from those of the release, since the tenant itself has defined parameters."""
        customs = self.catalogue.customs
        targets = (target for one in customs if one.parameter.type == "reference" for target in one.parameter.targets)
        return frozenset((*(one.type for one in customs), *targets)) & self.catalogue.definitions.resources

    @property
    def revision(self) -> str:
        """Another one after each change of what the tenant has defined, or can be searched by now."""
        ready = sum(one.ready is not None for one in self.catalogue.customs)
        return f"{self.catalogue.digest} {self.catalogue.revision} {ready}"

    @property
    def definitions(self) -> Definitions:
        """Of the FHIR release."""
        return self.catalogue.definitions

    def parameters(self, type: str) -> tuple[SupportedParameter, ...]:
        """Returns the parameters of a type, by name. Raises KeyError for an unknown type."""
        known = self._parameters.get(type)
        if known is None:
            defined = self.catalogue.definitions.search_parameters[type]
            found = (self._supported(type, one) for _, one in sorted(defined.items()))
            known = self._parameters[type] = tuple(one for one in found if one is not None)
        return known

    def of_all_types(self) -> tuple[SupportedParameter, ...]:
        """Returns the parameters that resources of every type have."""
        return tuple(one for one in self.parameters(_OF_ALL_TYPES) if one.name.startswith("_"))

    def includes(self, type: str) -> tuple[str, ...]:
        """Returns the values that `_include` may have in a search of this type, like `Observation:subject`."""
        return ("*", *(f"{type}:{name}" for name, _ in self._references(type)))

    def reverse_includes(self, type: str) -> tuple[str, ...]:
        """Returns the values that `_revinclude` may have in a search of this type."""
        found = (
            f"{one}:{name}"
            for one in self.catalogue.types
            for name, targets in self._references(one)
            if type in targets
        )
        return ("*", *found)

    def _supported(self, type: str, parameter: SearchParameter) -> SupportedParameter | None:
        """Returns what can be asked of a parameter; None if nothing can."""
        sample = "$".join("x" for _ in parameter.components) or _SAMPLES.get(parameter.type, "x")
        if not self._is_read(type, parameter.code, sample):
            return None
        modifiers = tuple(
            modifier
            for modifier in _MODIFIERS.get(parameter.type, ("missing",))
            if self._is_read(type, f"{parameter.code}:{modifier}", _SAMPLES.get(modifier, sample))
        )
        targets = dict(self._references(type)).get(parameter.code, frozenset())
        return SupportedParameter(
            parameter.code,
            parameter.url,
            parameter.type,
            modifiers,
            PREFIXES if parameter.type in _ORDERED else (),
            tuple(sorted(targets)),
        )

    def _is_read(self, type: str, name: str, value: str) -> bool:
        try:
            parse_search(self.catalogue, type, [(name, value)], now=0)
        except FhirError:
            return False
        return True

    def _references(self, type: str) -> tuple[tuple[str, frozenset[str]], ...]:
        """Returns the parameters of a type that are references, with the types that they may lead to."""
        known = self._includes.get(type)
        if known is None:
            every = frozenset(self.catalogue.types)
            known = self._includes[type] = tuple(
                (name, every.intersection(one.parameter.targets) or every)
                for name, one in sorted(self.catalogue.parameters(type).items())
                if one.kind == "reference"
            )
        return known


@lru_cache(maxsize=_KEPT)
def _official(definitions: Definitions, texts: Texts) -> SupportedSearch:
    return SupportedSearch(Catalogue.of(definitions, texts=texts))
