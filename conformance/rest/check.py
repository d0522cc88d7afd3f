"""What a check is: a sentence of the specification, where it stands, and a function that puts it to a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from conformance.report import level_of
from conformance.rest.server import Server

Test: TypeAlias = Callable[[Server], Awaitable[None]]
SPECIFICATION = "https://hl7.org/fhir/R4/"


@dataclass(frozen=True, slots=True)
class Check:
    """`page`: with its anchor, below `SPECIFICATION` or a URL of its own. `run` raises Broken when it does not hold."""

    name: str
    page: str
    sentence: str
    run: Test

    @property
    def level(self) -> str:
        """SHALL, SHOULD or MAY, as the sentence has it; empty where it just states a fact."""
        return level_of(self.sentence)

    @property
    def url(self) -> str:
        """The absolute URL of the page."""
        return self.page if self.page.startswith("https://") else SPECIFICATION + self.page


def rule(page: str, sentence: str) -> Callable[[Test], Check]:
    """Make a check of a function, which is named for the fact that it proves."""

    def decorate(test: Test) -> Check:
        name = getattr(test, "__name__", "check")
        module = test.__module__.removeprefix("conformance.rest.")
        return Check(f"{module}.{name}", page, sentence, test)

    return decorate
