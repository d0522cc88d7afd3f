"""What a check is: a sentence of the IG in one version or in both, and a function that puts it to a server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from conformance.bulk.provider import Provider
from conformance.report import level_of

Test: TypeAlias = Callable[[Provider], Awaitable[None]]
_ROOTS = {3: "https://hl7.org/fhir/uv/bulkdata/STU3/", 4: "https://build.fhir.org/ig/HL7/bulk-data/"}
_WORDS = {3: ("server", "client"), 4: ("Data Provider", "Data Consumer")}


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of one version of the IG, and the page with its anchor."""

    version: int
    page: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Check:
    """A sentence of the version that is checked. `alone`: it disturbs others, so it runs after them."""

    name: str
    quote: Quote
    run: Test
    alone: bool = False

    @property
    def sentence(self) -> str:
        """The sentence, as the IG has it; dots stand for what was left out."""
        return self.quote.sentence

    @property
    def level(self) -> str:
        """SHALL, SHOULD or MAY, as the sentence has it; empty where it just states a fact."""
        return level_of(self.sentence)

    @property
    def url(self) -> str:
        """The absolute URL of the page."""
        return _ROOTS[self.quote.version] + self.quote.page


@dataclass(frozen=True, slots=True)
class Rule:
    """A function and the sentences that it proves, one per version of the IG that has it."""

    quotes: tuple[Quote, ...]
    test: Test
    alone: bool

    def check(self, version: int) -> Check | None:
        """Returns the check for this version of the IG; None where that says nothing of it."""
        for quote in self.quotes:
            if quote.version == version:
                chapter = self.test.__module__.rpartition(".")[2]
                return Check(f"{chapter}.{getattr(self.test, '__name__', 'check')}", quote, self.test, self.alone)
        return None


def stu3(page: str, sentence: str) -> tuple[Quote, ...]:
    """A sentence of 3.0.0 only. `page`: with its anchor; an anchor alone is of export.html."""
    return (Quote(3, _page(page), sentence),)


def stu4(page: str, sentence: str) -> tuple[Quote, ...]:
    """A sentence of the ballot of 4.0.0 only."""
    return (Quote(4, _page(page), sentence),)


def both(page3: str, page4: str, sentence: str) -> tuple[Quote, ...]:
    """A sentence that both have; `{server}` and `{client}` stand for the words that each uses."""
    return tuple(
        Quote(
            version,
            _page(page),
            sentence.replace("{server}", _WORDS[version][0]).replace("{client}", _WORDS[version][1]),
        )
        for version, page in ((3, page3), (4, page4))
    )


def rule(*quotes: Sequence[Quote], alone: bool = False) -> Callable[[Test], Rule]:
    """Makes a rule of a function, which is named for the fact that it proves."""
    return lambda test: Rule(tuple(quote for each in quotes for quote in each), test, alone)


def _page(page: str) -> str:
    return f"export.html{page}" if page.startswith("#") else page
