"""Which search parameters the index holds: the number, the kind and the path of each, by resource type.

Numbers depend on nothing but the definitions of the release, so that an index file that another process or another
machine has made can be read. `digest` names them all, with their expressions: a file with another digest is made anew.

Some modifiers ask for something else than the parameter's own values. That has a number of its own, and a name with the
modifier: `code:text` (texts of what is coded), `subject:identifier`, `identifier:of-type`.

A tenant may define further parameters (`customs`); their numbers are those that the file has given them.

Composites have no numbers: what is in one element has rows under numbers that are hashes (see `elements`), and a
composite of the resource itself is searched as the parameters that its components are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, ItemsView, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from fhirstore.errors import InvalidExpression
from fhirstore.fhir.definitions.facts import Definitions, SearchParameter
from fhirstore.fhir.fhirpath.parse import parse
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.search_parameters.composites import branches_of, spelled
from fhirstore.fhir.search_parameters.evaluated import path_of
from fhirstore.fhir.search_parameters.getters import sides as sides_of
from fhirstore.fhir.search_parameters.paths import NOTHING, Path, Step
from fhirstore.index.local.pairs import Paired, paired

KINDS = frozenset({"token", "string", "reference", "uri", "date", "number", "quantity", "words"})
BEYOND = frozenset(("_id", "_lastUpdated", "_list", "_filter", "_query", "_type", "_in", "phonetic", "_has"))
"""Parameters without rows: `_id` and `_lastUpdated` are columns of the resource, the others need more than elements."""

NARRATIVE, CONTENT = "_text", "_content"
"""The parameters of full text."""
TEXTS: Mapping[str, tuple[str, ...]] = {"off": (), "narrative": (NARRATIVE,), "all": (NARRATIVE, CONTENT)}
"""Which of them are indexed, by setting."""
Texts: TypeAlias = Literal["off", "narrative", "all"]

_KEPT = 9  # catalogues: three releases, each with three kinds of full text
_FIRST_HASH = 1 << 31
SECURITY_CONTEXT = "securityContext"
"""The parameter of Binary that is in no definition."""
_EXACT_TEXT = frozenset({"code", "id", "uri", "canonical", "url", "oid", "uuid"})
_CANONICAL = frozenset({"canonical", "uri"})
_OWN_TEXTS = (_EXACT_TEXT - {"code"}) | {"Identifier", "ContactPoint"}


@dataclass(frozen=True, slots=True)
class Indexed:
    """One parameter of one type, or what a modifier of it asks for.

    `pid`: its number. `name`: its code, with the modifier if any. `kind`: of its rows. `path`: to its elements.
    `sides`: of a composite; it has neither path nor number. `ready`: the first sequence number with all of its rows;
    None: some resources have none yet.
    """

    pid: int
    type: str
    name: str
    kind: str
    parameter: SearchParameter
    path: Path
    sides: tuple[Side, ...] = ()
    ready: int | None = 0

    @property
    def in_element(self) -> bool:
        """Whether its number is a hash, of which the sets of parameters with a value do not tell (see `elements`)."""
        return not 0 < self.pid < _FIRST_HASH

    @property
    def folded(self) -> bool:
        """Whether a token is text that has no case."""
        return "string" in self.path.types and not self.path.types & _EXACT_TEXT

    @property
    def has_order(self) -> bool:
        """Whether resources can be sorted by it. The texts of identifiers, contact points and ids are not kept: each
        resource has one of its own.
        """
        return self.kind != "token" or not self.path.types & _OWN_TEXTS

    @property
    def of_codes(self) -> bool:
        """Whether its elements may be of type code, whose systems the value set implies."""
        return "code" in self.path.types

    @property
    def of_contacts(self) -> bool:
        """Whether its elements are contact points, which have no system."""
        return self.path.types == {"ContactPoint"}

    @property
    def of_names(self) -> bool:
        """Whether its elements are names of persons: found from each of their words."""
        return "HumanName" in self.path.types or any(element.name == "family" for element in self.path.elements)

    @property
    def of_canonicals(self) -> bool:
        """Whether its elements may be canonical URLs."""
        return bool(self.path.types & _CANONICAL)


@dataclass(frozen=True, slots=True)
class Side:
    """One branch of a composite. `parts`: its components, with paths from an element; they have no numbers.
    `parameters`: those of the type that have just the values of the components, in their order, where the elements are
    the resource itself; empty where there are rows for each element.
    """

    text: str
    elements: Step
    parts: tuple[Indexed, ...]
    parameters: tuple[Indexed, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Parameters with one path. `members`: those of a resource that the path looks at, and of what is inside it, only
    what is in these; None: it may look at any. `always`: it may select something where there is none of them.
    """

    run: Step
    members: frozenset[str] | None
    parameters: tuple[Indexed, ...]
    always: bool = False


@dataclass(frozen=True, slots=True)
class Custom:
    """A parameter that a tenant defines, for one type. `pid`: the first of its numbers. `ready`: as of `Indexed`."""

    pid: int
    type: str
    parameter: SearchParameter
    ready: int | None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All parameters of a release, and those of a tenant. `bases`: base URLs of this server, each with a slash at the
    end. `texts`: what full text is indexed. `digest`: of what the release, the bases and `texts` decide. `revision`,
    `refused`: of the tenant's parameters; why some of them are not used, by type and code. `unfilled`: types of which
    resources lack rows, or have some too many.
    """

    definitions: Definitions
    bases: frozenset[str]
    types: tuple[str, ...]
    digest: str
    _numbers: Mapping[str, Mapping[str, int]]
    _type_numbers: Mapping[str, int]
    texts: Texts = "narrative"
    revision: int = 0
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    unfilled: frozenset[str] = frozenset()
    _customs: Mapping[str, Sequence[Custom]] = field(default_factory=dict)
    _official: Catalogue | None = None
    _made: dict[str, Mapping[str, Indexed]] = field(default_factory=dict)
    _groups: dict[str, tuple[Group, ...]] = field(default_factory=dict)
    _pairs: dict[str, tuple[Paired, ...]] = field(default_factory=dict)
    _members: dict[tuple[str, str], tuple[Indexed, ...]] = field(default_factory=dict)
    _within: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _references: dict[str, Mapping[str, Indexed]] = field(default_factory=dict)

    @classmethod
    def of(cls, definitions: Definitions, bases: Collection[str] = (), *, texts: Texts = "narrative") -> Catalogue:
        """Returns the catalogue of a release. Some 100 ms for the first of a process; paths are compiled when a type is
        first used, once for all of them.
        """
        return _official(definitions, texts).with_bases(bases)

    def with_bases(self, bases: Collection[str]) -> Catalogue:
        """Returns the catalogue of the same release for other bases. Both share what they compile."""
        digest = hashlib.sha256("\n".join((self.digest, *sorted(bases))).encode()).hexdigest() if bases else self.digest
        return replace(self, bases=frozenset(bases), digest=digest)

    @property
    def official(self) -> Catalogue:
        """Those of the release alone."""
        return self._official or self

    def with_customs(
        self,
        definitions: Definitions,
        customs: Iterable[Custom],
        refused: Mapping[tuple[str, str], str],
        *,
        revision: int,
        unfilled: frozenset[str] = frozenset(),
    ) -> Catalogue:
        """Returns this catalogue with parameters of a tenant. `definitions`: with them."""
        by_type: dict[str, list[Custom]] = {}
        for one in customs:
            by_type.setdefault(one.type, []).append(one)
        return replace(
            self.official,
            definitions=definitions,
            revision=revision,
            refused=refused,
            unfilled=unfilled,
            _customs=by_type,
            _official=self.official,
            _made={},
            _groups={},
            _pairs=self.official._pairs,
            _members={},
            _within={},
            _references={},
        )

    def parameters(self, type: str) -> Mapping[str, Indexed]:
        """Returns the parameters of a type that can be searched, by name. Raises KeyError for an unknown type."""
        known = self._made.get(type)
        if known is None:
            known = self._made[type] = {**self._of_release(type), **{one.name: one for one in self._ready(type)}}
        return known

    def groups(self, type: str) -> tuple[Group, ...]:
        """Returns the parameters of a type that have rows, those with one path together."""
        known = self._groups.get(type)
        if known is None:
            known = (
                _grouped(type, self._compiled(type))
                if self._official is None
                else (*self._official.groups(type), *_grouped(type, self._of_tenant(type)))
            )
            self._groups[type] = known
        return known

    def pairs(self, type: str) -> tuple[Paired, ...]:
        """Returns the parameters of the release that have rows together."""
        known = self._pairs.get(type)
        if known is None:
            known = self._pairs[type] = paired(self._of_release(type))
        return known

    def references(self, type: str) -> Mapping[str, Indexed]:
        """Returns the references of a type that have a name in FHIR, or that the tenant has given one."""
        known = self._references.get(type)
        if known is None:
            named = self.definitions.search_parameters[type]
            every = self.parameters(type).items()
            found = {name: one for name, one in every if one.kind == "reference" and name in named}
            known = self._references[type] = found
        return known

    def in_compartments(self, compartment: str) -> tuple[str, ...]:
        """Returns the types of which resources may be in compartments of a type. Raises KeyError for what is none."""
        known = self._within.get(compartment)
        if known is None:
            types = (one for one in self.types if one == compartment or self.members(compartment, one))
            known = self._within[compartment] = tuple(types)
        return known

    def members(self, compartment: str, type: str) -> tuple[Indexed, ...]:
        """Returns the parameters by which resources of a type are in compartments. Raises KeyError for what is none."""
        known = self._members.get((compartment, type))
        if known is None:
            codes = self.definitions.compartments[compartment].get(type, ())
            parameters = self.parameters(type) if codes else {}
            known = self._members[compartment, type] = tuple(parameters[one] for one in codes if one in parameters)
        return known

    def filling(self, type: str) -> frozenset[str]:
        """Returns the codes of the tenant's parameters that cannot be searched yet."""
        return frozenset(one.parameter.code for one in self._customs.get(type, ()) if one.ready is None)

    @property
    def customs(self) -> tuple[Custom, ...]:
        """The tenant's parameters."""
        return tuple(one for some in self._customs.values() for one in some)

    def _of_release(self, type: str) -> Mapping[str, Indexed]:
        if self._official is not None:
            return self._official.parameters(type)
        return {one.name: one for one in self._compiled(type)}

    def _ready(self, type: str) -> Iterator[Indexed]:
        return (one for one in self._of_tenant(type) if one.ready is not None)

    def type_number(self, type: str) -> int:
        """Returns the number of a type in the index; from 1."""
        return self._type_numbers[type]

    def type_name(self, number: int) -> str:
        """Returns the type with this number."""
        return self.types[number - 1]

    def _compiled(self, type: str) -> list[Indexed]:
        found = [
            indexed
            for name, parameter in _names(_of_type(self.definitions, type, self.texts))
            if (indexed := _indexed(self.definitions, self._numbers[type][name], name, parameter, type=type))
        ]
        simple = {one.name: one for one in found}
        return [*found, *_compounds(self.definitions, type, _composites(self.definitions, type), simple)]

    def _of_tenant(self, type: str) -> list[Indexed]:
        found: list[Indexed] = []
        for one in self._customs.get(type, ()):
            some = {one.parameter.code: one.parameter}
            for offset, (name, parameter) in enumerate(_names(some)):
                if indexed := _indexed(self.definitions, one.pid + offset, name, parameter, type=type):
                    found.append(replace(indexed, ready=one.ready))
            if one.parameter.type == "composite":
                compounds = _compounds(self.definitions, type, [one.parameter], self._of_release(type))
                found += [replace(each, ready=one.ready) for each in compounds]
        return found


def _of_type(definitions: Definitions, type: str, texts: Texts) -> Mapping[str, SearchParameter]:
    """Returns the parameters of the release, those of full text with the expressions that FHIR does not give, and, of a
    Binary, the reference that says who may see it: FHIR defines no parameter for that, so nobody can search by it, but
    limits of searches do.
    """
    official = dict(definitions.search_parameters[type])
    for code, expression in ((NARRATIVE, f"{type}.text"), (CONTENT, _WHOLE)):
        if code in official:
            known = expression if code in TEXTS[texts] else ""
            official[code] = replace(official[code], type="words", expression=known)
    if type != "Binary" or SECURITY_CONTEXT in official:
        return official
    hidden = SearchParameter(SECURITY_CONTEXT, "", "reference", (type,), f"{type}.{SECURITY_CONTEXT}")
    return {**official, SECURITY_CONTEXT: hidden}


def _everything(_nodes: list[object], root: JsonObject) -> list[object]:
    return [root] if root.items() else []


_WHOLE = "%resource"
_PATH_TO_ALL = Path((_everything,), frozenset({"Resource"}))


def _indexed(definitions: Definitions, pid: int, name: str, parameter: SearchParameter, *, type: str) -> Indexed | None:
    """Returns a parameter; None where it has no rows."""
    if name == CONTENT:
        return Indexed(pid, type, name, parameter.type, parameter, _PATH_TO_ALL)
    try:
        path = path_of(definitions, type, parameter)
    except InvalidExpression:
        return None  # official expressions all compile: tests/fhir/search_parameters
    kind, fits = _kind(name, parameter, path)
    return Indexed(pid, type, name, kind, parameter, path) if fits else None


def _grouped(type: str, parameters: Collection[Indexed]) -> tuple[Group, ...]:
    by_code: dict[str, list[Indexed]] = {}
    for one in parameters:
        if not one.sides:
            by_code.setdefault(one.parameter.code, []).append(one)
    return (
        *(_group(some[0].path.run, tuple(some)) for some in by_code.values()),
        *_element_groups(type, parameters),
    )


def _composites(definitions: Definitions, type: str) -> Iterator[SearchParameter]:
    return (one for one in definitions.search_parameters[type].values() if one.type == "composite")


def _compounds(
    definitions: Definitions, type: str, composites: Iterable[SearchParameter], simple: Mapping[str, Indexed]
) -> Iterator[Indexed]:
    """Yields composites of a type. `simple`: its other parameters."""
    by_text: dict[tuple[str, str], Indexed] = {}
    for parameter in composites:
        try:
            branches = branches_of(definitions, type, parameter)
        except InvalidExpression:
            continue
        by_text = by_text or {(one.kind, _text(one)): one for one in simple.values() if ":" not in one.name}
        sides: list[Side] = []
        for branch in branches:
            parts = tuple(
                Indexed(0, type, parameter.code, one.parameter.type, one.parameter, one.path) for one in branch.parts
            )
            same = [by_text.get((one.parameter.type, one.text)) for one in branch.parts] if branch.of_resource else []
            known = tuple(one for one in same if one is not None)
            sides.append(Side(branch.text, branch.elements, parts, known if len(known) == len(parts) else ()))
        if sides:
            yield Indexed(0, type, parameter.code, "composite", parameter, NOTHING, tuple(sides))


def _text(indexed: Indexed) -> str:
    """Returns the expression of a parameter for its type, in one spelling. What can never match is left out."""
    texts = {spelled(node) for node in sides_of(parse(indexed.parameter.expression))}
    own = {text for text in texts if text.partition(".")[0] == indexed.type and not text.endswith("(SampledData)")}
    return " | ".join(sorted(own))


def _element_groups(type: str, parameters: Collection[Indexed]) -> Iterator[Group]:
    """Yields a group for each branch of composites that has rows; what it selects is a list for each element: of the
    values of each component.
    """
    found = {side.text: (one, side) for one in parameters for side in one.sides if not side.parameters}
    for one, side in found.values():
        indexed = Indexed(0, type, one.name, "elements", one.parameter, NOTHING, (side,))
        group = _group(_in_elements(side), (indexed,))
        members = group.members
        for part in side.parts:
            asked = _Empty()
            part.path.run([{}], asked)  # what it asks of the resource
            members = None if members is None or asked.asked is None else members | asked.asked
        yield replace(group, members=members)


def _in_elements(side: Side) -> Step:
    runs = [part.path.run for part in side.parts]

    def step(nodes: list[object], root: JsonObject) -> list[object]:
        found = ([run([element], root) for run in runs] for element in side.elements(nodes, root))
        return [values for values in found if all(values)]

    return step


@lru_cache(maxsize=_KEPT)
def _official(definitions: Definitions, texts: Texts) -> Catalogue:
    types = tuple(sorted(definitions.resources))
    numbers: dict[str, dict[str, int]] = {}
    digest = hashlib.sha256("\n".join((definitions.version, *types)).encode())
    pid = 0
    for type_ in types:
        numbers[type_] = {}
        for name, parameter in _names(_of_type(definitions, type_, texts)):
            pid += 1
            numbers[type_][name] = pid
            digest.update(f"\n{type_} {name} {parameter.type} {parameter.expression}".encode())
        for parameter in _composites(definitions, type_):
            parts = [f"{one.definition} {one.expression}" for one in parameter.components]
            digest.update("\n".join((type_, parameter.code, parameter.expression, *parts)).encode())
    by_type = {type_: number for number, type_ in enumerate(types, 1)}
    return Catalogue(definitions, frozenset(), types, digest.hexdigest(), numbers, by_type, texts)


def _names(parameters: Mapping[str, SearchParameter]) -> Iterator[tuple[str, SearchParameter]]:
    """Yields each name that has a number; at most three for a parameter."""
    for code, parameter in parameters.items():
        if code in BEYOND or parameter.type not in KINDS or not parameter.expression:
            continue
        yield code, parameter
        if parameter.type == "token":
            yield f"{code}:text", parameter
            yield f"{code}:of-type", parameter
        elif parameter.type == "reference":
            yield f"{code}:identifier", parameter


def _kind(name: str, parameter: SearchParameter, path: Path) -> tuple[str, bool]:
    """Returns the kind of rows, and whether there are any: not for a modifier that does not fit the elements."""
    modifier = name.partition(":")[2]
    match modifier:
        case "text":
            return "text", True
        case "of-type":
            return "typed", "Identifier" in path.types
        case "identifier":
            return "identifier", bool(path.types & {"Reference", "CodeableReference"})
    return parameter.type, True


class _Empty(dict[str, object]):
    """An empty resource that notes which members are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] | None = set()

    def get(self, name: str, otherwise: object = None) -> object:
        if self.asked is not None:
            self.asked.add(name)
        return otherwise

    def items(self) -> ItemsView[str, object]:  # type: ignore[override]
        self.asked = None  # it looks through all members
        return super().items()


def _group(run: Step, parameters: tuple[Indexed, ...]) -> Group:
    """Finds out which members a path looks at: it looks them up by name, and one that finds none goes on as in an empty
    resource.
    """
    empty = _Empty()
    found = run([empty], empty)
    return Group(run, None if empty.asked is None else frozenset(empty.asked), parameters, bool(found))


def looks_into(group: Group, member: str, names: Collection[str]) -> bool:
    """Returns whether the path looks at any of these names directly below a member."""
    inner = _Empty()
    resource: JsonObject = {member: inner}
    group.run([resource], resource)
    return inner.asked is None or not inner.asked.isdisjoint(names)
