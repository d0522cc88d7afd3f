"""JSON Patch (application/json-patch+json).

https://www.rfc-editor.org/rfc/rfc6902 · https://hl7.org/fhir/R4/http.html#patch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fhirstore.errors import ContentTooLarge, MalformedContent, PatchFailed
from fhirstore.fhir import json
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch.json_values import Copier, check_depth, clone, clone_value, same
from fhirstore.fhir.patch.pointer import Pointer, index, is_list, parse_pointer, value_at

_HAS_VALUE = frozenset({"add", "replace", "test"})
_HAS_FROM = frozenset({"move", "copy"})
_MAX_OPERATIONS = 10_000
_OPS = _HAS_VALUE | _HAS_FROM | {"remove"}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `value` and `source` (`from`) are set if `op` has them."""

    op: str
    path: Pointer
    value: object = None
    source: Pointer = ()


@dataclass(frozen=True, slots=True)
class JsonPatch:
    """Operations that are applied in order, all or none."""

    operations: tuple[Operation, ...] = field(repr=False)
    media_type: ClassVar[str] = "application/json-patch+json"

    @classmethod
    def parse(cls, document: bytes | Sequence[Mapping[str, object]]) -> JsonPatch:
        """Returns the patch in JSON or in Python values. Raises MalformedContent, which names the invalid operation."""
        if not isinstance(document, bytes):
            document = json.dump({"patch": document})
            return cls.of(json.parse(document)["patch"])
        return cls.of(json.parse_array(document))

    @classmethod
    def of(cls, document: object) -> JsonPatch:
        """Returns the patch in parsed JSON. Raises MalformedContent, ContentTooLarge."""
        if not isinstance(document, list):
            raise MalformedContent("A JSON Patch is an array of operations")
        if len(document) > _MAX_OPERATIONS:
            raise ContentTooLarge(f"The patch has more than {_MAX_OPERATIONS:,} operations")
        return cls(tuple(_operation(number, each) for number, each in enumerate(document, 1)))

    @property
    def changes_nothing(self) -> bool:
        """Whether it has no operations."""
        return not self.operations

    def apply(self, resource: JsonObject, definitions: Definitions | None = None) -> JsonObject:
        """Returns the patched resource; does not change `resource`. Raises PatchFailed, ContentTooLarge.

        FHIR has no empty arrays and objects: one that a removal empties, and no later operation fills, is removed. With
        `definitions`, adding to a list that is absent creates the list.
        """
        work = _Work(clone(resource), definitions)
        for number, operation in enumerate(self.operations, 1):
            try:
                work.do(operation)
            except PatchFailed as error:
                raise PatchFailed(f"Operation {number} ({operation.op}): {error}") from None
        return work.result()


class _Work:
    """Applies operations to one document, in place."""

    def __init__(self, document: JsonObject, definitions: Definitions | None) -> None:
        self._root: object = document
        self._definitions = definitions
        self._copier = Copier()
        self._emptied: list[object] = []

    def do(self, operation: Operation) -> None:
        match operation.op:
            case "add":
                self._add(operation.path, clone_value(operation.value))
            case "remove":
                self._remove(operation.path)
            case "replace":
                value_at(self._root, operation.path)
                self._put(operation.path, clone_value(operation.value))
            case "move":
                value = value_at(self._root, operation.source)
                if operation.path[: len(operation.source)] != operation.source:
                    self._remove(operation.source)
                    self._add(operation.path, value)
                elif operation.path != operation.source:
                    raise PatchFailed("a value cannot move into itself")
            case "copy":
                self._add(operation.path, self._copier.copy(value_at(self._root, operation.source)))
            case _:
                if not same(value_at(self._root, operation.path), operation.value):
                    raise PatchFailed("the value at the path is another one")

    def result(self) -> JsonObject:
        if not isinstance(self._root, dict):
            raise PatchFailed("The result is not an object")
        check_depth(self._root)
        if self._emptied:
            _prune(self._root, {id(value) for value in self._emptied})
        return self._root

    def _add(self, path: Pointer, value: object) -> None:
        if self._is_absent_list(path):
            self._put(path[:-1], [value])
            return
        parent = value_at(self._root, path[:-1]) if path else None
        if isinstance(parent, list):
            parent.insert(index(path[-1], parent, end=True), value)
        else:
            self._put(path, value)

    def _is_absent_list(self, path: Pointer) -> bool:
        """Returns whether `path` is the first position of a list that is absent because it is empty. The list's owner
        must be present.
        """
        if len(path) < 2 or path[-1] not in ("-", "0") or self._definitions is None:
            return False
        holder, name = value_at(self._root, path[:-2]), path[-2]
        absent = isinstance(holder, dict) and name not in holder
        return absent and is_list(self._root, path[:-1], self._definitions)

    def _put(self, path: Pointer, value: object) -> None:
        """Sets an existing item of an array, or a member of an existing object."""
        if not path:
            self._root = value
            return
        parent = value_at(self._root, path[:-1])
        if isinstance(parent, list):
            parent[index(path[-1], parent)] = value
        elif isinstance(parent, dict):
            parent[path[-1]] = value
        else:
            raise PatchFailed("the path leads into a value that is neither an object nor an array")

    def _remove(self, path: Pointer) -> None:
        value_at(self._root, path)
        if not path:
            raise PatchFailed("the whole resource cannot be removed; delete it instead")
        parent = value_at(self._root, path[:-1])
        if isinstance(parent, list):
            del parent[index(path[-1], parent)]
        elif isinstance(parent, dict):
            del parent[path[-1]]
        if not parent:
            self._emptied.append(parent)


def _prune(value: dict[str, object] | list[object], emptied: set[int]) -> None:
    """Removes from `value` what the patch emptied, and what is empty as a result."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    for key, item in reversed(items):
        if isinstance(item, dict | list):
            filled = bool(item)
            _prune(item, emptied)
            if not item and (filled or id(item) in emptied):
                del value[key]  # type: ignore[arg-type]  # a name of a dict, an index of a list


def _operation(number: int, document: object) -> Operation:
    if not isinstance(document, dict):
        raise MalformedContent(f"Operation {number} is not an object")
    op = document.get("op")
    if not isinstance(op, str) or op not in _OPS:
        raise MalformedContent(f"Operation {number}: op must be one of {', '.join(sorted(_OPS))}")
    if op in _HAS_VALUE and "value" not in document:
        raise MalformedContent(f"Operation {number} ({op}) has no value")
    path = _pointer(number, document, "path")
    source = _pointer(number, document, "from") if op in _HAS_FROM else ()
    return Operation(op, path, document.get("value"), source)


def _pointer(number: int, document: JsonObject, member: str) -> Pointer:
    text = document.get(member)
    if not isinstance(text, str):
        raise MalformedContent(f"Operation {number} has no {member}")
    try:
        return parse_pointer(text)
    except MalformedContent as error:
        raise MalformedContent(f"Operation {number}: {member} is {error}") from None
