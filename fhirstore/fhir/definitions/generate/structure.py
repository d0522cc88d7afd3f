"""Types, elements and primitives from the StructureDefinitions of a package.

Profiles, extensions and logical models are skipped: these are the definitions of the base specification.

https://hl7.org/fhir/R4/structuredefinition.html · https://hl7.org/fhir/R4/elementdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fhirstore.fhir.definitions.generate.package import Package
from fhirstore.fhir.definitions.nodes import Node, name_of, node_of, nodes, text, texts

ElementRow = list[str]  # name, types, cardinality, flags, required value set: see load.py
InvariantRow = list[str]
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
_KEYWORDS = frozenset({"as", "contains", "div", "in", "is", "mod"})  # FHIRPath keywords that also name elements
_SYSTEM = "http://hl7.org/fhirpath/System."


@dataclass(frozen=True, slots=True)
class TypeRow:
    """A type with its own elements and invariants, without those of `base`."""

    kind: str
    base: str
    abstract: bool
    elements: list[ElementRow]
    invariants: list[InvariantRow]


class Structures:
    """The StructureDefinitions of a package that define types."""

    def __init__(self, package: Package) -> None:
        self._types: dict[str, Node] = {}
        self._primitives: dict[str, Node] = {}
        self._profiled: dict[str, str] = {}  # profile URL -> the type that it constrains
        for node in package.resources("StructureDefinition"):
            name, kind = text(node, "type"), text(node, "kind")
            if text(node, "derivation") == "constraint" or kind not in {"resource", "complex-type", "primitive-type"}:
                self._profiled[text(node, "url")] = name
            elif kind == "primitive-type":
                self._primitives[name] = node
            else:
                self._types[name] = node

    def primitives(self) -> dict[str, list[str]]:
        """Returns name -> its JSON type, the pattern it must match."""
        return {name: [_json_kind(name), _pattern(name, node)] for name, node in sorted(self._primitives.items())}

    def types(self) -> dict[str, TypeRow]:
        """Returns every resource, complex datatype and backbone element."""
        found: dict[str, TypeRow] = {}
        for name, node in sorted(self._types.items()):
            snapshot = nodes(node_of(node, "snapshot"), "element")
            for path in _paths_with_children(snapshot):
                found[path] = self._type(path, name, node, snapshot)
        return {name: _without_inherited(row, found) for name, row in found.items()}

    def _type(self, path: str, name: str, node: Node, snapshot: Sequence[Node]) -> TypeRow:
        root = next(each for each in snapshot if text(each, "path") == path)
        children = [each for each in snapshot if text(each, "path").rpartition(".")[0] == path]
        whole = path == name
        is_resource = text(node, "kind") == "resource"
        kind = "backbone" if not whole else "resource" if is_resource else "datatype"
        base = name_of(text(node, "baseDefinition")) if whole else text(nodes(root, "type")[0], "code")
        elements = [self._element(each, in_resource=whole and is_resource) for each in children]
        invariants = [*_invariants(root)]
        for child in children:
            if path_is_backbone(text(child, "path"), snapshot):
                continue  # the backbone's own type has them
            invariants.extend(_of_child(child, self._inherited(child)))
        known = self._keys_of_bases(base)
        return TypeRow(
            kind,
            base,
            whole and node.get("abstract") is True,
            [row for row in elements if row],
            [row for row in invariants if row[0] not in known],
        )

    def _element(self, node: Node, *, in_resource: bool) -> ElementRow:
        name = text(node, "path").rpartition(".")[2]
        if text(node, "max") == "0":
            return []
        attribute = "xmlAttr" in texts(node, "representation")
        reference = text(node, "contentReference")
        if reference:
            types = [reference.rpartition("#")[2]]
        elif name == "id":
            # R4 types a resource's id as string, R4B and R5 type an element's id as id. The text of the
            # specification says the opposite: https://hl7.org/fhir/R4/resource.html#id
            types = ["id" if in_resource else "string"]
        else:
            types = [self._type_of(each, text(node, "path")) for each in nodes(node, "type")]
        flags = ("s" if node.get("isSummary") is True else "") + ("m" if node.get("isModifier") is True else "")
        binding = node_of(node, "binding")
        required = text(binding, "valueSet").partition("|")[0] if text(binding, "strength") == "required" else ""
        cardinality = f"{node.get('min')}..{node.get('max')}"
        row = [name, " ".join(types), cardinality, flags + ("a" if attribute else ""), required]
        while row[-1] == "":
            row.pop()
        return row

    def _type_of(self, node: Node, path: str) -> str:
        code = text(node, "code")
        if code.startswith(_SYSTEM):
            return _extension(node, _FHIR_TYPE)
        if code in {"BackboneElement", "Element"}:
            return path
        targets = {target for url in texts(node, "targetProfile") for target in self._targets(url)}
        return f"{code}({','.join(sorted(targets))})" if targets and "Resource" not in targets else code

    def _targets(self, url: str) -> tuple[str, ...]:
        """Returns the concrete types behind a target profile; Resource for any."""
        name = self._profiled.get(url.partition("|")[0], name_of(url))
        node = self._types.get(name)
        if node is None:
            return ("Resource",)  # a pattern such as Definition, which many types follow
        if name == "Resource" or node.get("abstract") is not True:
            return (name,)
        return tuple(each for each in self._types if self._descends(each, name))

    def _descends(self, name: str, ancestor: str) -> bool:
        return self._types[name].get("abstract") is not True and ancestor in self._bases(name)

    def _bases(self, name: str) -> tuple[str, ...]:
        """Returns `name` and its bases, nearest first."""
        bases: list[str] = []
        while name in self._types:
            bases.append(name)
            name = name_of(text(self._types[name], "baseDefinition"))
        return tuple(bases)

    def _keys_of_bases(self, base: str) -> frozenset[str]:
        """Returns the keys of the constraints that a type inherits."""
        keys: set[str] = set()
        for name in self._bases(base):
            root = nodes(node_of(self._types[name], "snapshot"), "element")[0]
            keys.update(text(each, "key") for each in nodes(root, "constraint"))
        return frozenset(keys)

    def _inherited(self, child: Node) -> frozenset[str]:
        """Returns the keys of constraints on an element that its types have themselves, or that no element can
        break.
        """
        keys: set[str] = {"ele-1"}
        for each in nodes(child, "type"):
            keys |= self._keys_of_bases(text(each, "code"))
        return frozenset(keys)


def _without_inherited(row: TypeRow, types: Mapping[str, TypeRow]) -> TypeRow:
    """Returns `row` without the elements and invariants that its base has in the same form."""
    above: list[ElementRow] = []
    said: list[InvariantRow] = []
    base = row.base
    while base in types:
        above += types[base].elements
        said += types[base].invariants
        base = types[base].base
    own = [each for each in row.elements if each not in above]
    names = {each[0] for each in row.elements}
    missing = [each[0] for each in above if each[0] not in names]
    if missing:
        raise ValueError(f"an element of {row.base} was taken away: {missing}")
    return TypeRow(row.kind, row.base, row.abstract, own, [each for each in row.invariants if each not in said])


def _paths_with_children(snapshot: Sequence[Node]) -> list[str]:
    """Returns the type's own path and those of its backbone elements, in the order of the specification."""
    parents = {text(each, "path").rpartition(".")[0] for each in snapshot}
    root = text(snapshot[0], "path")
    return [path for path in (text(each, "path") for each in snapshot) if path in parents or path == root]


def path_is_backbone(path: str, snapshot: Sequence[Node]) -> bool:
    """Returns whether the element at `path` has children of its own."""
    return any(text(each, "path").startswith(f"{path}.") for each in snapshot)


def _invariants(node: Node) -> Iterator[InvariantRow]:
    """Yields the element's constraints. Those without FHIRPath concern XML schemas only."""
    for each in nodes(node, "constraint"):
        expression = text(each, "expression")
        if expression:
            yield [text(each, "key"), text(each, "severity"), text(each, "human"), expression]


def _of_child(child: Node, inherited: frozenset[str]) -> Iterator[InvariantRow]:
    """Yields the constraints on an element of a datatype, rewritten for the type that holds the element."""
    name = text(child, "path").rpartition(".")[2].removesuffix("[x]")
    name = f"`{name}`" if name in _KEYWORDS else name
    for key, severity, human, expression in _invariants(child):
        if key not in inherited:
            yield [key, severity, human, f"{name}.all({expression})"]
    for each in nodes(child, "type"):
        if any(name_of(url) == "SimpleQuantity" for url in texts(each, "profile")):
            quantity = f"{name}.ofType(Quantity)" if text(child, "path").endswith("[x]") else name
            human = "The comparator is not used on a SimpleQuantity"
            yield ["sqty-1", "error", human, f"{quantity}.all(comparator.empty())"]


def _json_kind(name: str) -> str:
    """Returns the JSON type of a primitive (https://hl7.org/fhir/R4/json.html#primitive). integer64 is a string
    (https://hl7.org/fhir/R5/json.html#primitive).
    """
    return {
        "boolean": "boolean",
        "decimal": "decimal",
        "integer": "integer",
        "positiveInt": "integer",
        "unsignedInt": "integer",
    }.get(name, "string")


def _pattern(name: str, node: Node) -> str:
    if name == "base64Binary":
        return ""  # its pattern takes exponential time and allows wrong padding; validation decodes instead
    for each in nodes(node_of(node, "snapshot"), "element"):
        if text(each, "path") == f"{name}.value":
            pattern = "".join(_extension(kind, _REGEX) for kind in nodes(each, "type")[:1])
            return pattern.replace("}})", "})")  # R5's pattern of decimal has a brace too many and would refuse 1e2
    return ""


def _extension(node: Node, url: str) -> str:
    for each in nodes(node, "extension"):
        if text(each, "url") == url:
            return text(each, "valueString") or text(each, "valueUrl")
    return ""
