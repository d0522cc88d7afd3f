"""The links of a transaction: found once, resolved as often as it starts over.

A reference by search means what matches after the transaction ("5. Resolve any conditional references"): what is
stored and not written here, and what is written here and matches. What is only patched is taken to match what it
matched before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.lookup import Answers, Question
from fhirstore.bundles.plan import Planned
from fhirstore.bundles.references import Link, Target, base_of, find_links, path_of, rewrite
from fhirstore.bundles.results import blame
from fhirstore.bundles.written import Written
from fhirstore.definitions.facts import Definitions
from fhirstore.errors import FhirError, FhirStoreError, MultipleMatches

_Found = tuple[Entry, str, list[Link]]


class Linking:
    """All links of these entries."""

    def __init__(self, entries: Sequence[Entry], definitions: Definitions) -> None:
        full_urls = frozenset(entry.full_url for entry in entries if entry.full_url and entry.writes)
        self._found: list[_Found] = []
        for entry in entries:
            if entry.resource is not None:
                base = base_of(entry.full_url)
                links = find_links(entry.resource, full_urls=full_urls, base=base, definitions=definitions)
                if some := list(links):
                    self._found.append((entry, base, some))

    def questions(self) -> list[Question]:
        """What references by search ask for."""
        return [_question(text) for text in self._searches()]

    def resolve(self, planned: Sequence[Planned], written: Written, answers: Answers) -> None:
        """Write into the entries' resources what their links stand for. Raises FhirError, with the place."""
        targets = {plan.entry.full_url: plan.target for plan in planned if plan.entry.full_url}
        touched = {(plan.type, plan.id) for plan in planned if plan.writes and plan.entry.interaction != "patch"}
        for text in self._searches():
            found = answers[_question(text)]
            if isinstance(found, FhirStoreError):
                raise self._blamed(text, found)
            references = [f"{one.type}/{one.id}" for one in found.matches if (one.type, one.id) not in touched]
            references += [f"{plan.type}/{plan.id}" for plan in written.matching(found.criteria)]
            if len(references) != 1:
                raise self._blamed(text, _unclear(len(references)))
            targets[text] = Target(references[0])
        for _, base, links in self._found:
            for link in links:
                rewrite(link, targets.get, base=base)

    def _searches(self) -> list[str]:
        return list(dict.fromkeys(link.text for link in self._links() if link.search))

    def _links(self) -> Iterable[Link]:
        return (link for _, _, links in self._found for link in links)

    def _blamed(self, text: str, error: FhirStoreError) -> FhirStoreError:
        """The error, with the place of the first reference that has this text."""
        for entry, _, links in self._found:
            for link in links:
                if link.search and link.text == text and entry.resource is not None and isinstance(error, FhirError):
                    return blame(error, f"{entry.place}.resource.{path_of(entry.resource, link)}")
        return error


def _question(text: str) -> Question:
    type_, _, criteria = text.partition("?")
    return type_, criteria


def _unclear(count: int) -> MultipleMatches:
    if count == 0:
        return MultipleMatches("No resource matches this reference by search", code="not-found")
    return MultipleMatches("Several resources match this reference by search; be more selective")
