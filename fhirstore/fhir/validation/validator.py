"""Is this resource right? `check` for writes, `issues` for whoever wants to know all.

Three levels: `off` asks nothing; `structure` everything that can be told from the definitions of types alone
(elements, cardinalities, choices, primitives, required codes, references' syntax, narratives); `full` adds what
`full.py` brings: invariants, targets of references, profiles.
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
from fhirstore.fhir.validation.exact import ExactPass
from fhirstore.fhir.validation.fast import FastPass
from fhirstore.fhir.validation.full import FullPass
from fhirstore.fhir.validation.padding import pad
from fhirstore.fhir.validation.rules import Rules

LEVELS = ("off", "structure", "full")
MOST_ISSUES = 1000
_MOST_COUNTED = 10_000


class Validator:
    """Validates resources of one release at one level. Cheap to make: tables are built for the types that occur."""

    def __init__(self, definitions: Definitions, level: str = "structure") -> None:
        if level not in LEVELS:
            raise ValueError(f"validation is one of {', '.join(LEVELS)}")
        self.definitions = definitions
        self.level = level

    def check(self, resource: JsonObject) -> bool:
        """Raises RulesBroken, an InvalidResource, with all issues when there is an error among them.

        True: arrays were padded in place, so that the resource is no longer what the bytes say that it was read from.
        A part of a resource, as `_summary` gives it, is refused at every level.
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
        """The same for the structure of an object of some type (`Bundle.entry`) that stands at `path`, but for what its
        member `apart` holds, which is checked on its own. Raises RulesBroken."""
        if self.level == "off" or self._fast.accepts_part(part, type, apart):
            return
        rest = {name: value for name, value in part.items() if name != apart}
        issues = tuple(islice(self._exact.errors_of_part(rest, type, path), MOST_ISSUES))
        if issues:
            raise RulesBroken(issues)

    def issues(self, resource: JsonObject) -> tuple[Issue, ...]:
        """All errors and warnings; of more than 1,000 the first, and how many there are beyond, up to 10,000. Pads, as
        `check`."""
        found = self._all(resource)
        issues = tuple(islice(found, MOST_ISSUES))
        more = Counter(issue.severity for issue in islice(found, _MOST_COUNTED))
        if not more:
            return issues
        worst = "error" if more["error"] or more["fatal"] else "warning"  # a thousand warnings refuse nothing
        total = more.total()
        text = (
            f"{total} more issues were found" if total < _MOST_COUNTED else f"More than {total} more issues are there"
        )
        return *issues, Issue("too-costly", text, severity=worst)

    def accepts_at_once(self, resource: JsonObject) -> bool:
        """Whether the fast pass sees that the structure is right; if not, it may be right all the same."""
        return self._fast.accepts(resource)

    def errors(self, resource: JsonObject) -> Iterator[Issue]:
        """What the exact pass finds wrong with the structure, at whatever level."""
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
                return  # what is built wrongly cannot be asked further questions
        if self.level == "full":
            yield from self._full.issues(resource)

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self.definitions)

    @cached_property
    def _fast(self) -> FastPass:
        return FastPass(self._rules)

    @cached_property
    def _exact(self) -> ExactPass:
        return ExactPass(self._rules)

    @cached_property
    def _full(self) -> FullPass:
        return FullPass(self.definitions)


def _is_a_part(resource: JsonObject) -> Issue:
    return Issue(
        "business-rule",
        "This is a part of a resource, as its tag SUBSETTED says, and would overwrite the whole: read it without "
        "_summary and _elements. If it is the whole, leave the tag out",
        (f"{resource.get('resourceType')}.meta.tag",),
    )
