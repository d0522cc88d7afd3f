"""Is this resource right? `check` for writes, `issues` for whoever wants to know all.

Three levels: `off` asks nothing; `structure` everything that can be told from the definitions of types alone
(elements, cardinalities, choices, primitives, required codes, references' syntax, narratives); `full` adds what
`full.py` brings: invariants, targets of references, profiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

from fhirstore.definitions.facts import Definitions
from fhirstore.errors import Issue, RulesBroken
from fhirstore.json import JsonObject
from fhirstore.validation.exact import ExactPass
from fhirstore.validation.fast import FastPass
from fhirstore.validation.full import FullPass
from fhirstore.validation.rules import Rules

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

    def check(self, resource: JsonObject) -> None:
        """Raises RulesBroken, an InvalidResource, with all issues when there is an error among them."""
        if self.level == "off" or (self.level == "structure" and self.accepts_at_once(resource)):
            return
        issues = self.issues(resource)
        if any(issue.severity in ("error", "fatal") for issue in issues):
            raise RulesBroken(issues)

    def issues(self, resource: JsonObject) -> tuple[Issue, ...]:
        """All errors and warnings; of more than 1,000 the first, and how many there are beyond, up to 10,000."""
        found = self._all(resource)
        issues = tuple(islice(found, MOST_ISSUES))
        more = sum(1 for _ in islice(found, _MOST_COUNTED))
        if not more:
            return issues
        text = f"{more} more issues were found" if more < _MOST_COUNTED else f"More than {more} more issues are there"
        return (*issues, Issue("too-costly", text))

    def accepts_at_once(self, resource: JsonObject) -> bool:
        """Whether the fast pass sees that the structure is right; if not, it may be right all the same."""
        return self._fast.accepts(resource)

    def errors(self, resource: JsonObject) -> Iterator[Issue]:
        """What the exact pass finds wrong with the structure, at whatever level."""
        return self._exact.errors(resource)

    def _all(self, resource: JsonObject) -> Iterator[Issue]:
        if self.level == "off":
            return
        if not self.accepts_at_once(resource):
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
