"""FHIRPath Patch: a Parameters resource whose parameters are operations.

`add` appends to a repeating element, or sets one that is absent; `insert` inserts into a list at an index; `delete`
removes an element if it is present; `replace` replaces a value; `move` moves an item of a list to another index,
counted after the item was taken out. `value` is a value[x], a resource, or, for a type without a value[x]
(`Patient.contact`), the parts it consists of.

https://hl7.org/fhir/R4/fhirpatch.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirstore.errors import ContentTooLarge, FhirError, InvalidExpression, MalformedContent, PatchFailed
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.fhirpath.parse import parse
from fhirstore.fhir.fhirpath.tree import Member, Node
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.elements import Position, elements, read, write
from fhirstore.fhir.patch.json_values import check_depth, clone
from fhirstore.fhir.patch.paths import Paths
from fhirstore.fhir.patch.values import Value, is_there, parse_value, select

_MAX_OPERATIONS = 1_000
_NEEDS = {
    "add": ("path", "name", "value"),
    "insert": ("path", "index", "value"),
    "delete": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "source", "destination"),
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `name`, `value` and the indices are set for the types that have them."""

    type: str
    path: Node
    name: str
    value: Value | None
    index: int
    source: int
    destination: int


@dataclass(frozen=True, slots=True)
class FhirPathPatch:
    """Operations that are applied in order, all or none."""

    operations: tuple[Operation, ...] = field(repr=False)

    @classmethod
    def parse(cls, document: bytes | Mapping[str, object]) -> FhirPathPatch:
        """Returns the patch in the JSON of a Parameters resource, or in Python values. Raises MalformedContent."""
        return cls.of(json.parse(document if isinstance(document, bytes) else json.dump(document)))

    @classmethod
    def of(cls, parameters: JsonObject) -> FhirPathPatch:
        """Returns the patch in a parsed Parameters resource. Raises MalformedContent, ContentTooLarge."""
        if parameters.get("resourceType") != "Parameters":
            raise MalformedContent("A FHIRPath Patch is a Parameters resource", expression=("Parameters",))
        operations = parameters.get("parameter", [])
        if not isinstance(operations, list):
            raise MalformedContent("The patch has no list of operations", expression=("Parameters.parameter",))
        if len(operations) > _MAX_OPERATIONS:
            raise ContentTooLarge(f"The patch has more than {_MAX_OPERATIONS:,} operations")
        return cls(tuple(_operation(at, each) for at, each in enumerate(operations)))

    @property
    def changes_nothing(self) -> bool:
        """Whether it has no operations."""
        return not self.operations

    def apply(self, resource: JsonObject, definitions: Definitions) -> JsonObject:
        """Returns the patched resource; does not change `resource`. Raises PatchFailed, ContentTooLarge."""
        result = clone(resource)
        work = _Work(definitions, Paths(definitions, Position.root(result)))
        for number, operation in enumerate(self.operations, 1):
            try:
                work.do(operation)
            except (PatchFailed, InvalidExpression) as error:
                code = error.issues[0].code
                raise PatchFailed(f"Operation {number} ({operation.type}): {error}", code=code) from None
        check_depth(result)
        return result


@dataclass(frozen=True, slots=True)
class _Work:
    """Applies operations to one resource, in place."""

    definitions: Definitions
    paths: Paths

    def do(self, operation: Operation) -> None:
        match operation.type:
            case "add":
                self._add(self.paths.one(operation.path), operation.name, operation.value)
            case "insert":
                self._insert(operation.path, operation.index, operation.value)
            case "delete":
                self._delete(operation.path)
            case "replace":
                self._replace(self.paths.one(operation.path), operation.value)
            case _:
                self._move(operation.path, operation.source, operation.destination)

    def _add(self, position: Position, name: str, value: Value | None) -> None:
        element = select(position.type, name, value, self.definitions)
        members = position.members
        if not element.repeats and is_there(members, position.type, element, self.definitions):
            raise PatchFailed(f"{name} is there already and does not repeat; replace it")
        pairs = [*read(members, element.name), value.pair(element, self.definitions)] if value else []
        write(position.writable_members(), element, pairs)

    def _insert(self, path: Node, index: int, value: Value | None) -> None:
        position, name = self._list(path)
        element = select(position.type, name, value, self.definitions)
        pairs = read(position.members, element.name)
        if not element.repeats:
            raise PatchFailed(f"{name} does not repeat; add it, or replace it")
        if not 0 <= index <= len(pairs) or value is None:
            raise PatchFailed(f"index {index} is not in the list, which has {len(pairs)} elements")
        pairs.insert(index, value.pair(element, self.definitions))
        write(position.writable_members(), element, pairs)

    def _delete(self, path: Node) -> None:
        positions = self.paths.positions(path)
        if len(positions) > 1:
            raise PatchFailed(f"the path leads to {len(positions)} elements; delete one at a time")
        for position in positions:
            if position.parent is None:
                raise PatchFailed("the whole resource cannot be removed; delete it instead")
            position.remove()

    def _replace(self, position: Position, value: Value | None) -> None:
        if position.parent is None or value is None:
            raise PatchFailed("the whole resource cannot be replaced by a patch; update it instead")
        name = position.element.choice or position.element.name
        element = select(position.parent.type, name, value, self.definitions)
        pair = value.pair(element, self.definitions)
        if element.name == position.element.name:
            position.write(pair)
        else:
            write(position.owner, position.element, [])
            write(position.owner, element, [pair])

    def _move(self, path: Node, source: int, destination: int) -> None:
        position, name = self._list(path)
        element = elements(position.type, name, self.definitions)[0]
        pairs = read(position.members, element.name)
        for index in (source, destination):
            if not 0 <= index < len(pairs):
                raise PatchFailed(f"index {index} is not in the list, which has {len(pairs)} elements")
        pairs.insert(destination, pairs.pop(source))
        write(position.members, element, pairs)

    def _list(self, path: Node) -> tuple[Position, str]:
        """Returns the element that has the list, and the list's name."""
        if not isinstance(path, Member):
            raise PatchFailed("the path does not end in the name of a list")
        return self.paths.one(path.of), path.name


def _operation(at: int, parameter: object) -> Operation:
    where = f"Parameters.parameter[{at}]"
    parts = parameter.get("part") if isinstance(parameter, dict) else None
    if not isinstance(parameter, dict) or parameter.get("name") != "operation" or not isinstance(parts, list):
        raise MalformedContent("Every parameter of a patch is an operation with parts", expression=(where,))
    given = {part.get("name"): part for part in parts if isinstance(part, dict)}
    type_ = _text(given.get("type"), "valueCode") or _text(given.get("type"), "valueString")
    if type_ not in _NEEDS:
        raise MalformedContent(f"type must be one of {', '.join(_NEEDS)}", expression=(where,))
    if missing := [name for name in _NEEDS[type_] if name not in given]:
        raise MalformedContent(f"Operation {at + 1} ({type_}) has no {' and no '.join(missing)}", expression=(where,))
    try:
        return Operation(
            type=type_,
            path=parse(_text(given["path"], "valueString")),
            name=_text(given.get("name"), "valueString"),
            value=parse_value(given["value"]) if "value" in given else None,
            index=_integer(given.get("index")),
            source=_integer(given.get("source")),
            destination=_integer(given.get("destination")),
        )
    except FhirError as error:
        raise MalformedContent(f"Operation {at + 1} ({type_}): {error}", expression=(where,)) from None


def _text(part: JsonObject | None, member: str) -> str:
    value = part.get(member) if part else None
    return value if isinstance(value, str) else ""


def _integer(part: JsonObject | None) -> int:
    """Returns the integer in a part; -1, which is never a valid index, if it has none."""
    values = [value for name, value in (part or {}).items() if name.startswith("value")]
    return values[0] if len(values) == 1 and type(values[0]) is int else -1
