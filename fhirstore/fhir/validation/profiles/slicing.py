"""Which slice an item is of, told by discriminators.

value and pattern: what the slice fixes at the discriminator's path, its required binding, or the url of its extension.
exists: whether the slice demands or forbids the element there. type: what type the item is, or the reference's target.
The discriminators `profile` and `position`, and what lies behind a reference, decide nothing here.

https://hl7.org/fhir/R4/profiling.html#discriminator
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.validation.profiles.bindings import allows
from fhirstore.fhir.validation.profiles.items import Item, along, function, steps_of
from fhirstore.fhir.validation.profiles.library import Library
from fhirstore.fhir.validation.profiles.rules import Rule, Slicing
from fhirstore.fhir.validation.profiles.values import equals, fits, within

Test = Callable[[Item], bool]

_BY_URL = Slicing((("value", "url"),), "open", ordered=False)
_BY_TYPE = Slicing((("type", "$this"),), "open", ordered=False)


@dataclass(frozen=True, slots=True)
class Slices:
    """The tests that tell the slices of one element apart, in the profile's order."""

    slicing: Slicing
    tests: tuple[tuple[Rule, tuple[Test, ...]], ...]

    def slice_of(self, item: Item) -> Rule | None:
        """The first slice that the item is of."""
        return next((rule for rule, tests in self.tests if all(test(item) for test in tests)), None)


@dataclass(frozen=True, slots=True)
class SliceReader:
    """Makes the tests. `referred`: the type of a reference's target, empty if nothing tells."""

    definitions: Definitions
    library: Library
    referred: Callable[[Item], str]

    def slices(self, rule: Rule) -> Slices | None:
        """The slices of an element, or None where the discriminators do not tell them apart."""
        slicing = rule.slicing or _implied(rule)
        if slicing is None:
            return None
        tests: list[tuple[Rule, tuple[Test, ...]]] = []
        for slice_ in rule.slices.values():
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

    def _test(self, kind: str, slice_: Rule, steps: tuple[str, ...]) -> Test | None:
        match kind:
            case "type":
                return self._type_test(slice_, steps)
            case "exists":
                return self._exists_test(slice_, steps)
            case "value" | "pattern" if not any(function(step)[0] == "resolve" for step in steps):
                return self._value_test(slice_, steps)
        return None

    def _type_test(self, slice_: Rule, steps: tuple[str, ...]) -> Test | None:
        behind = bool(steps) and function(steps[-1])[0] == "resolve"
        rule = self._rule(slice_, steps[:-1] if behind else steps)
        if rule is None:
            return None
        if behind:
            targets = {self._target_type(url) for each in rule.types for url in each.targets} - {""}
            ends = steps[:-1]
            if not targets:
                return None
            return lambda item: any(self.referred(each) in targets for each in along(self.definitions, item, ends))
        types = {each.code for each in rule.types}
        if not types:
            return None
        return lambda item: any(each.type in types for each in along(self.definitions, item, steps))

    def _target_type(self, canonical: str) -> str:
        profile = self.library.profiles.get(canonical)
        return profile.type if profile else self.library.core_type(canonical)

    def _exists_test(self, slice_: Rule, steps: tuple[str, ...]) -> Test | None:
        rule = self._rule(slice_, steps)
        if rule is None or (rule.max != 0 and rule.min == 0):
            return None
        wanted = rule.max != 0
        return lambda item: bool(along(self.definitions, item, steps)) == wanted

    def _value_test(self, slice_: Rule, steps: tuple[str, ...]) -> Test | None:
        """What the slice says at the path, or above it in a value that it fixes as a whole."""
        for count in range(len(steps) + 1):
            below = steps[count:]
            for rule in self._rules(slice_, steps[:count]):
                if rule.fixed or rule.pattern:
                    return self._comparison(rule, steps, below)
                if rule.binding and not below:
                    return self._binding_test(rule.binding, steps)
        urls = {url.partition("|")[0] for each in slice_.types for url in each.profiles}
        if steps == ("url",) and urls:
            return lambda item: item.node.get("url") in urls
        return None

    def _comparison(self, rule: Rule, steps: tuple[str, ...], below: tuple[str, ...]) -> Test | None:
        compare = equals if rule.fixed else fits
        wanted = within((rule.fixed or rule.pattern)[0], below)
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

    def _rules(self, rule: Rule, steps: Sequence[str]) -> list[Rule]:
        """The rules that the steps lead to, those of slices that must be there among them."""
        found = [rule]
        for step in steps:
            inner = [self._step(each, step) for each in found]
            whole = [each for each in inner if each is not None]
            found = whole + [slice_ for each in whole for slice_ in each.slices.values() if slice_.min]
        return found

    def _rule(self, rule: Rule, steps: Sequence[str]) -> Rule | None:
        """The rule that the steps lead to."""
        return next(iter(self._rules(rule, steps)), None)

    def _step(self, rule: Rule, step: str) -> Rule | None:
        name, argument = function(step)
        if name == "ofType":
            return rule
        below = self._child(rule, "extension" if name == "extension" else step)
        if below is not None and name == "extension":
            return next((each for each in below.slices.values() if argument in _urls(each)), None)
        return below

    def _child(self, rule: Rule, name: str) -> Rule | None:
        below = rule.children.get(name) or rule.children.get(f"{name}[x]")
        if below is None:
            for each in rule.types:
                for canonical in each.profiles:
                    profile = self.library.profiles.get(canonical)
                    below = below or (profile.root.children.get(name) if profile else None)
        return below


def _urls(rule: Rule) -> set[str]:
    return {url.partition("|")[0] for each in rule.types for url in each.profiles}


def _implied(rule: Rule) -> Slicing | None:
    """Slicing that goes without saying: extensions by their url, choices by their type."""
    if rule.name in {"extension", "modifierExtension"}:
        return _BY_URL
    return _BY_TYPE if rule.name.endswith("[x]") else None
