"""Validates resources: `check` for writes, `issues` for a full list.

There are three levels. `off` checks nothing; `structure` checks what the definitions of types say (elements,
cardinalities, choices, primitives, required codes, the syntax of references, narratives); `full` adds `full.py`:
invariants, reference targets and repeated ids.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from fhirstore.errors import Issue, RulesBroken
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.subset import is_subset
from fhirstore.fhir.validation.element_checks import ElementChecks
from fhirstore.fhir.validation.exact import ExactPass
from fhirstore.fhir.validation.fast import FastPass
from fhirstore.fhir.validation.full import FullPass
from fhirstore.fhir.validation.padding import pad

LEVELS = ("off", "structure", "full")
MOST_ISSUES = 1000
_MOST_COUNTED = 10_000


class Validator:
    """Validates resources of one release at one level. Cheap to create: tables are built for the types that occur."""

    def __init__(self, definitions: Definitions, level: str = "structure") -> None:
        if level not in LEVELS:
            raise ValueError(f"validation is one of {', '.join(LEVELS)}")
        self.definitions = definitions
        self.level = level

    def check(self, resource: JsonObject) -> bool:
        """Raises RulesBroken, an InvalidResource, with all issues if at least one is an error.

        Returns True if arrays were padded in place, so that the resource differs from the bytes it was read from. A
        part of a resource, as `_summary` returns it, is refused at every level.
        """
        if "meta" in resource and is_subset(resource):
            raise RulesBroken((_is_a_part(resource),))
        if self.level == "off" or (self.level == "structure" and self.accepts_at_once(resource)):
            return False
        padded = pad(resource)
        issues = self.issues(resource)
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise RulesBroken(issues)
        return padded

    def check_part(self, part: JsonObject, type: str, path: str, *, apart: str) -> None:
        """Does the same for the structure of an object of some type (`Bundle.entry`) that stands at `path`. Ignores the
        content of its member `apart`, which is checked on its own. Raises RulesBroken.
        """
        if self.level == "off" or self._fast.accepts_part(part, type, apart):
            return
        rest = {name: value for name, value in part.items() if name != apart}
        issues = tuple(islice(self._exact.errors_of_part(rest, type, path), MOST_ISSUES))
        if issues:
            raise RulesBroken(issues)

    def issues(self, resource: JsonObject) -> tuple[Issue, ...]:
        """Returns all errors and warnings. If there are more than 1,000, returns the first 1,000 and an issue with the
        number of the others, which are counted up to 10,000. Pads as `check`.
        """
        found = self._all(resource)
        issues = tuple(islice(found, MOST_ISSUES))
        more = Counter(issue.severity for issue in islice(found, _MOST_COUNTED))
        if not more:
            return issues
        # Warnings never refuse a resource, however many there are.
        worst = "error" if more["error"] or more["fatal"] else "warning"
        total = more.total()
        text = (
            f"{total} more issues were found" if total < _MOST_COUNTED else f"More than {total} more issues are there"
        )
        return *issues, Issue("too-costly", text, severity=worst)

    def accepts_at_once(self, resource: JsonObject) -> bool:
        """Returns whether the fast pass accepts the structure. A resource that it does not accept may still be
        valid.
        """
        return self._fast.accepts(resource)

    def errors(self, resource: JsonObject) -> Iterator[Issue]:
        """Yields the errors in the structure, whatever the level."""
        return self._exact.errors(resource)

    def _all(self, resource: JsonObject) -> Iterator[Issue]:
        if self.level == "off":
            return
        if "meta" in resource and is_subset(resource):
            yield _is_a_part(resource)
        if not self.accepts_at_once(resource):
            pad(resource)
            wrong = False
            for issue in self.errors(resource):
                wrong = True
                yield issue
            if wrong:
                return  # the further checks need a valid structure
        if self.level == "full":
            yield from self._full.issues(resource)

    @cached_property
    def _checks(self) -> ElementChecks:
        return ElementChecks(self.definitions)

    @cached_property
    def _fast(self) -> FastPass:
        return FastPass(self._checks)

    @cached_property
    def _exact(self) -> ExactPass:
        return ExactPass(self._checks)

    @cached_property
    def _full(self) -> FullPass:
        return FullPass(self.definitions)


def _is_a_part(resource: JsonObject) -> Issue:
    return Issue(
        "business-rule",
        "The tag SUBSETTED says that this is a part of a resource only, which would overwrite the whole: read the "
        "resource without _summary and _elements. If this is the whole resource, remove the tag",
        (f"{resource.get('resourceType')}.meta.tag",),
    )
