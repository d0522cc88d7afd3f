"""The exact pass: yields every error of a resource, each with its FHIRPath expression and what would be valid.

Expressions are element names and indices, `Patient.name[0].given[1]`, quoted if FHIRPath needs it, like `div`. A choice
is named without its type, as in FHIRPath: `Observation.value`. Messages contain names and codes of FHIR and names of
members, never values.

https://hl7.org/fhir/R4/json.html · https://hl7.org/fhir/R4/operationoutcome.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from fhirstore.errors import Issue
from fhirstore.fhir.definitions.facts import Element, Type
from fhirstore.fhir.fhirpath.names import step
from fhirstore.fhir.json import JsonObject, is_element_name
from fhirstore.fhir.validation.codings import has_code_of
from fhirstore.fhir.validation.element_checks import ElementChecks, expected_concept, may_be_extended
from fhirstore.fhir.validation.narrative import faults
from fhirstore.fhir.validation.primitives import ValueCheck

_ABSENT = object()


class ExactPass:
    """Explains what is invalid, for one release."""

    def __init__(self, checks: ElementChecks) -> None:
        self._checks = checks
        self._types = checks.definitions.types

    def errors(self, resource: JsonObject) -> Iterator[Issue]:
        """Yields every error of a resource, in the order of its members."""
        return self._resource(resource, "", may_contain=True)

    def errors_of_part(self, part: JsonObject, type: str, path: str) -> Iterator[Issue]:
        """Yields every error of an object of some type that stands at `path`."""
        return self._object(part, path, self._types[type])

    # --- resources and objects ------------------------------------------------------------------------------

    def _resource(self, value: object, path: str, *, may_contain: bool) -> Iterator[Issue]:
        if not isinstance(value, dict):
            yield _structure(path, f"must be a resource, an object, not {_kind(value)}")
            return
        name = value.get("resourceType")
        if not isinstance(name, str):
            yield _error("required", path or "resourceType", "a resource needs its resourceType, a string")
        elif name not in self._checks.definitions.resources:
            what = f"resourceType is not a resource type of FHIR {self._checks.definitions.release}"
            yield _error("value", path or "resourceType", what)
        else:
            type_ = self._types[name]
            if not may_contain and "contained" in value:
                yield _structure(f"{path}.contained", "a contained resource must not contain others")
                value = {name: item for name, item in value.items() if name != "contained"}
            is_transaction = name == "Bundle" and value.get("type") == "transaction"
            inner = self._in_transaction if is_transaction else self
            yield from inner._object(value, path or name, type_)

    @cached_property
    def _in_transaction(self) -> ExactPass:
        """The pass for the content of a stored Bundle of type transaction."""
        return ExactPass(ElementChecks(self._checks.definitions, in_transaction=True))

    def _object(self, value: object, path: str, type_: Type) -> Iterator[Issue]:
        if not isinstance(value, dict):
            yield _structure(path, f"must be an object ({type_.name}), not {_kind(value)}")
            return
        if not value:
            yield _structure(path, "must not be empty; leave it out")
            return
        seen: set[str] = set()
        for name in value:
            element = type_.elements.get(name.removeprefix("_"))
            if element is None or (name.startswith("_") and not self._may_have_sibling(type_, element)):
                if name != "resourceType" or type_.kind != "resource":
                    yield _unknown(path, name, type_)
            elif element.name not in seen:
                seen.add(element.name)
                yield from self._element(value, path, type_, element)
        yield from self._missing(value, path, type_)
        if type_.name == "Extension":
            yield from _value_or_extensions(value, path)

    def _may_have_sibling(self, type_: Type, element: Element) -> bool:
        return self._checks.check_of(type_, element) is not None and may_be_extended(element)

    def _missing(self, value: JsonObject, path: str, type_: Type) -> Iterator[Issue]:
        """Yields required elements that are absent, and choices with more than one value."""
        choices: dict[str, list[Element]] = {}
        for element in type_.elements.values():
            if element.choice:
                choices.setdefault(element.choice, []).append(element)
            elif element.min and not _is_there(value, element):
                yield _error("required", _step(path, element.name), f"{element.name} is required in {type_.name}")
        for choice, elements in choices.items():
            made = [element.name for element in elements if _is_there(value, element)]
            if len(made) > 1:
                yield _structure(f"{path}.{choice}", f"only one of {', '.join(made)} may be given")
            if elements[0].min and not made:
                yield _error("required", f"{path}.{choice}", f"{choice}[x] is required in {type_.name}")

    # --- one element, with its sibling ----------------------------------------------------------------------

    def _element(self, value: JsonObject, path: str, type_: Type, element: Element) -> Iterator[Issue]:
        where = _step(path, element.choice or element.name)
        check = self._checks.check_of(type_, element)
        item = value.get(element.name, _ABSENT)
        sibling = value.get("_" + element.name, _ABSENT) if check else _ABSENT
        if element.repeats:
            yield from self._array(item, sibling, where, element, check)
        elif isinstance(item, list):
            yield _structure(where, f"{element.name} may occur once only; it must not be an array")
        elif check:
            yield from self._primitive(item, sibling, where, check, element)
        else:
            yield from self._complex(item, where, element)

    def _array(
        self, items: object, siblings: object, where: str, element: Element, check: ValueCheck | None
    ) -> Iterator[Issue]:
        count = 0
        for name, array in ((element.name, items), ("_" + element.name, siblings)):
            if array is _ABSENT:
                continue
            if not isinstance(array, list):
                yield _structure(where, f"{name} must be an array, not {_kind(array)}")
                return
            if not array:
                yield _structure(where, f"{name} must not be an empty array; leave it out")
                return
            count = max(count, len(array))
        if element.max is not None and count > element.max:
            yield _structure(where, f"{element.name} may occur {element.max} times at most")
        if isinstance(items, list) and isinstance(siblings, list) and len(items) != len(siblings):
            yield _structure(
                where, f"{element.name} and _{element.name} must have the same length; fill gaps with null"
            )
        if not check:
            for index, item in enumerate(items if isinstance(items, list) else ()):
                yield from self._complex(item, f"{where}[{index}]", element)
            return
        for index in range(count):
            item, sibling = _at(items, index), _at(siblings, index)
            if item is None and sibling is None:
                yield _structure(
                    f"{where}[{index}]",
                    "has neither a value nor extensions; where one array has null, the other needs a value",
                )
                continue
            yield from self._primitive(
                _ABSENT if item is None else item,
                _ABSENT if sibling is None else sibling,
                f"{where}[{index}]",
                check,
                element,
            )

    def _complex(self, item: object, where: str, element: Element) -> Iterator[Issue]:
        if item is None:
            yield _structure(where, "must not be null; leave it out")
        elif element.type == "Resource":
            yield from self._resource(item, where, may_contain=element.name != "contained")
        elif element.type in self._checks.definitions.resources:
            yield from self._resource(item, where, may_contain=True)
        else:
            yield from self._coded(item, where, element)

    def _coded(self, item: object, where: str, element: Element) -> Iterator[Issue]:
        """Yields the errors of an object of a datatype, and of a required binding."""
        wrong = False
        for issue in self._object(item, where, self._types[element.type]):
            wrong = True
            yield issue
        codes = self._checks.codes(element)
        if codes and not wrong and not has_code_of(codes, item):
            yield _error("code-invalid", where, f"must have {expected_concept(codes)}")

    def _primitive(
        self, item: object, sibling: object, where: str, check: ValueCheck, element: Element
    ) -> Iterator[Issue]:
        if item is not _ABSENT:
            yield from _value(item, where, check, element)
        if sibling is _ABSENT:
            return
        if sibling is None:
            yield _structure(where, f"_{element.name} must not be null; leave it out")
            return
        if isinstance(sibling, dict) and sibling and item is _ABSENT and "extension" not in sibling:
            yield _structure(where, "needs a value or extensions; an id alone is not enough")
        yield from self._object(sibling, where, self._types["Element"])


def _value(item: object, where: str, check: ValueCheck, element: Element) -> Iterator[Issue]:
    """Yields the errors in the value of a primitive."""
    if item is None:
        yield _structure(where, "must not be null; leave it out")
    elif not check.of_kind(item):
        yield _structure(where, f"must be {_KINDS[check.json]} ({element.type}), not {_kind(item)}")
    elif item == "":
        yield _error("value", where, "must not be empty; leave it out")
    elif not check.accepts(item):
        if element.type == "xhtml":
            for fault in faults(str(item)):
                yield _error("value", where, fault)
        else:
            yield _error(check.code, where, f"must be {check.expected}")


def _value_or_extensions(value: JsonObject, path: str) -> Iterator[Issue]:
    """ext-1 (https://hl7.org/fhir/R4/extensibility.html#Extension)."""
    has_value = any(name.startswith(("value", "_value")) for name in value)
    if has_value == ("extension" in value):
        what = "not both" if has_value else "and has neither"
        yield _structure(path, f"an extension must have either a value or extensions, {what}")


def _is_there(value: JsonObject, element: Element) -> bool:
    return element.name in value or "_" + element.name in value


def _at(array: object, index: int) -> object:
    return array[index] if isinstance(array, list) and index < len(array) else None


_KINDS: Mapping[str, str] = {
    "string": "a string",
    "boolean": "true or false",
    "integer": "a number",
    "decimal": "a number",
}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a number"


def _unknown(path: str, name: str, type_: Type) -> Issue:
    if not is_element_name(name):  # the name may be patient data
        return _structure(path, f"has a member whose name is not an element of {type_.name}")
    if name.startswith("_"):
        what = f"{name} is not allowed in {type_.name}: only primitive elements have such a sibling"
        return _structure(_step(path, name[1:]), what)
    return _structure(_step(path, name), f"{name} is not an element of {type_.name}")


def _step(path: str, name: str) -> str:
    return f"{path}.{step(name)}"


def _structure(path: str, what: str) -> Issue:
    return _error("structure", path, what)


def _error(code: str, path: str, what: str) -> Issue:
    return Issue(code, f"{path}: {what}", (path,))
