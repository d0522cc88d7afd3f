"""Assigns items to slices by discriminators.

- value, pattern: the value that the slice fixes at the discriminator's path, its required binding, or the URL of its
  extension.
- exists: whether the slice requires or forbids the element.
- type: the type of the item, or of the reference's target.

The discriminators `profile` and `position`, and anything behind a reference, are not decided.

https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.validation.profiles.items import Item, along, function, steps_of
from fhirstore.fhir.validation.profiles.library import Library
from fhirstore.fhir.validation.profiles.profile import ElementDefinition, Slicing
from fhirstore.fhir.validation.profiles.values import allows, equals, fits, within

Test = Callable[[Item], bool]

_BY_URL = Slicing((("value", "url"),), "open", ordered=False)
_BY_TYPE = Slicing((("type", "$this"),), "open", ordered=False)


@dataclass(frozen=True, slots=True)
class Slices:
    """The tests that distinguish the slices of one element, in the profile's order."""

    slicing: Slicing
    tests: tuple[tuple[ElementDefinition, tuple[Test, ...]], ...]

    def slice_of(self, item: Item) -> ElementDefinition | None:
        """Returns the first slice that the item belongs to."""
        return next((definition for definition, tests in self.tests if all(test(item) for test in tests)), None)


@dataclass(frozen=True, slots=True)
class SliceReader:
    """Builds the tests. `referred`: returns the type of a reference's target, or an empty string."""

    definitions: Definitions
    library: Library
    referred: Callable[[Item], str]

    def slices(self, definition: ElementDefinition) -> Slices | None:
        """Returns the slices of an element, or None if the discriminators do not distinguish them."""
        slicing = definition.slicing or _implied(definition)
        if slicing is None:
            return None
        tests: list[tuple[ElementDefinition, tuple[Test, ...]]] = []
        for slice_ in definition.slices.values():
            found: list[Test] = []
            for kind, path in slicing.discriminators:
                steps = steps_of(path)
                if steps is None or kind in {"profile", "position"}:
                    return None
                if test := self._test(kind, slice_, steps):
                    found.append(test)
            if not found:
                return None
            tests.append((slice_, tuple(found)))
        return Slices(slicing, tuple(tests))

    def _test(self, kind: str, slice_: ElementDefinition, steps: tuple[str, ...]) -> Test | None:
        match kind:
            case "type":
                return self._type_test(slice_, steps)
            case "exists":
                return self._exists_test(slice_, steps)
            case "value" | "pattern" if not any(function(step)[0] == "resolve" for step in steps):
                return self._value_test(slice_, steps)
        return None

    def _type_test(self, slice_: ElementDefinition, steps: tuple[str, ...]) -> Test | None:
        behind = bool(steps) and function(steps[-1])[0] == "resolve"
        definition = self._definition_at(slice_, steps[:-1] if behind else steps)
        if definition is None:
            return None
        if behind:
            targets = {self._target_type(url) for each in definition.types for url in each.targets} - {""}
            ends = steps[:-1]
            if not targets:
                return None
            return lambda item: any(self.referred(each) in targets for each in along(self.definitions, item, ends))
        types = {each.code for each in definition.types}
        if not types:
            return None
        return lambda item: any(each.type in types for each in along(self.definitions, item, steps))

    def _target_type(self, canonical: str) -> str:
        profile = self.library.profiles.get(canonical)
        return profile.type if profile else self.library.core_type(canonical)

    def _exists_test(self, slice_: ElementDefinition, steps: tuple[str, ...]) -> Test | None:
        definition = self._definition_at(slice_, steps)
        if definition is None or (definition.max != 0 and definition.min == 0):
            return None
        wanted = definition.max != 0
        return lambda item: bool(along(self.definitions, item, steps)) == wanted

    def _value_test(self, slice_: ElementDefinition, steps: tuple[str, ...]) -> Test | None:
        """Returns the test for what the slice fixes at the path, or in a value above it."""
        for count in range(len(steps) + 1):
            below = steps[count:]
            for definition in self._definitions_at(slice_, steps[:count]):
                if definition.fixed or definition.pattern:
                    return self._comparison(definition, steps, below)
                if definition.binding and not below:
                    return self._binding_test(definition.binding, steps)
        urls = {url.partition("|")[0] for each in slice_.types for url in each.profiles}
        if steps == ("url",) and urls:
            return lambda item: item.node.get("url") in urls
        return None

    def _comparison(self, definition: ElementDefinition, steps: tuple[str, ...], below: tuple[str, ...]) -> Test | None:
        compare = equals if definition.fixed else fits
        wanted = within((definition.fixed or definition.pattern)[0], below)
        if not wanted:
            return None

        def test(item: Item) -> bool:
            values = [each.value for each in along(self.definitions, item, steps)]
            return all(any(compare(value, each) for value in values) for each in wanted)

        return test

    def _binding_test(self, canonical: str, steps: tuple[str, ...]) -> Test | None:
        if allows(self.library, canonical, Item("", None, "code", "")) is None:
            return None
        return lambda item: any(
            allows(self.library, canonical, each) is True for each in along(self.definitions, item, steps)
        )

    def _definitions_at(self, definition: ElementDefinition, steps: Sequence[str]) -> list[ElementDefinition]:
        """Returns the definitions that the steps lead to, including those of required slices."""
        found = [definition]
        for step in steps:
            inner = [self._step(each, step) for each in found]
            whole = [each for each in inner if each is not None]
            found = whole + [slice_ for each in whole for slice_ in each.slices.values() if slice_.min]
        return found

    def _definition_at(self, definition: ElementDefinition, steps: Sequence[str]) -> ElementDefinition | None:
        """Returns the first definition that the steps lead to."""
        return next(iter(self._definitions_at(definition, steps)), None)

    def _step(self, definition: ElementDefinition, step: str) -> ElementDefinition | None:
        name, argument = function(step)
        if name == "ofType":
            return definition
        below = self._child(definition, "extension" if name == "extension" else step)
        if below is not None and name == "extension":
            return next((each for each in below.slices.values() if argument in _urls(each)), None)
        return below

    def _child(self, definition: ElementDefinition, name: str) -> ElementDefinition | None:
        below = definition.children.get(name) or definition.children.get(f"{name}[x]")
        if below is None:
            for each in definition.types:
                for canonical in each.profiles:
                    profile = self.library.profiles.get(canonical)
                    below = below or (profile.root.children.get(name) if profile else None)
        return below


def _urls(definition: ElementDefinition) -> set[str]:
    return {url.partition("|")[0] for each in definition.types for url in each.profiles}


def _implied(definition: ElementDefinition) -> Slicing | None:
    """Returns the slicing that needs no declaration: extensions by URL, choices by type."""
    if definition.name in {"extension", "modifierExtension"}:
        return _BY_URL
    return _BY_TYPE if definition.name.endswith("[x]") else None
