"""The links of a transaction: found once, resolved each time that it starts over.

A reference by search refers to what matches after the transaction ("5. Resolve any conditional references"): a stored
resource that the transaction does not write, or one that it writes. A patched resource is taken to match the criteria
that it matched before.

The links that a PATCH adds are resolved in the patched resource, when the patch is applied: there they can be found
whatever the form of the patch. A reference that contains the urn of an entry is never stored.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from fhirstore.bundles.entries import Entry
from fhirstore.bundles.lookup import Answers, Found, Question
from fhirstore.bundles.pending_resources import Written
from fhirstore.bundles.plan import Planned
from fhirstore.bundles.references import (
    Link,
    Target,
    base_of,
    find_links,
    is_search,
    path_of,
    rewrite,
    unresolved,
)
from fhirstore.bundles.results import blame
from fhirstore.errors import FhirError, FhirStoreError, MultipleMatches, Unsupported
from fhirstore.fhir.definitions.facts import Definitions
from fhirstore.fhir.json import JsonObject
from fhirstore.fhir.patch import CarriedPatch, LinkedPatch, Patch, patch_in, texts

_Found = tuple[Entry, str, list[Link]]


@dataclass(frozen=True, slots=True)
class _Brought:
    """A patch, the base of its entry's fullUrl, and the texts that it adds."""

    patch: CarriedPatch
    base: str
    texts: frozenset[str]


class Linking:
    """The links of these entries."""

    def __init__(self, entries: Sequence[Entry], definitions: Definitions) -> None:
        self._definitions = definitions
        self._full_urls = frozenset(entry.full_url for entry in entries if entry.full_url and entry.writes)
        self._found: list[_Found] = []
        self._brought: dict[int, _Brought] = {}
        self._targets: dict[str, Target | FhirStoreError | None] = {}
        for entry in entries:
            if entry.resource is None or not entry.writes:
                continue
            base = base_of(entry.full_url)
            if entry.interaction == "patch":
                try:
                    patch = patch_in(entry.resource)
                except FhirError:  # raised again by `patch`, with the entry's place
                    continue
                self._brought[entry.index] = _Brought(patch, base, texts(patch))
                continue
            links = find_links(entry.resource, full_urls=self._full_urls, base=base, definitions=definitions)
            if some := list(links):
                self._found.append((entry, base, some))

    def questions(self) -> list[Question]:
        """Returns the criteria of the references by search."""
        return [_question(text) for text in dict.fromkeys([*self._searches(), *self._brought_searches()])]

    def resolve(self, planned: Sequence[Planned], written: Written, answers: Answers) -> None:
        """Replaces the links in the entries' resources by their targets. Raises FhirError, with the place."""
        targets: dict[str, Target | FhirStoreError | None] = {
            plan.entry.full_url: plan.target for plan in planned if plan.entry.full_url
        }
        touched = {(plan.type, plan.id) for plan in planned if plan.writes and plan.entry.interaction != "patch"}
        for text in self._searches():
            targets[text] = target = _searched(answers[_question(text)], written, touched)
            if isinstance(target, FhirStoreError):
                raise self._blamed(text, target)
        for text in self._brought_searches():
            targets.setdefault(text, _searched(answers[_question(text)], written, touched))
        self._targets = targets
        for entry, base, links in self._found:
            for link in links:
                rewrite(link, self._target, base=base)
                if entry.resource is not None and link.names_one_of(self._full_urls):
                    raise unresolved(f"{entry.place}.resource.{path_of(entry.resource, link)}")

    def resolve_full_urls(self, planned: Sequence[Planned]) -> None:
        """Replaces links to entries, so that contents can be tested for criteria about references. `resolve` does it
        again, since what is created may turn out to be another entry's resource."""
        self._targets = {plan.entry.full_url: plan.target for plan in planned if plan.entry.full_url}
        for _, base, links in self._found:
            for link in links:
                if not link.search:
                    rewrite(link, self._target, base=base)

    def patch(self, entry: Entry) -> Patch:
        """Returns the patch in a PATCH entry, which also resolves the links of its result. Raises FhirError."""
        brought = self._brought.get(entry.index)
        if brought is None:
            return patch_in(entry.resource or {})
        if not self._full_urls and not any(is_search(text) for text in brought.texts):
            return brought.patch
        return LinkedPatch(brought.patch, lambda patched: self._settle(patched, brought))

    def _settle(self, patched: JsonObject, brought: _Brought) -> None:
        """Resolves the links of a patched resource. Links that it had before are relative to this server, whatever the
        base of the entry's fullUrl is."""
        links = list(find_links(patched, full_urls=self._full_urls, base=brought.base, definitions=self._definitions))
        for link in links:
            ours = link.text in brought.texts
            if link.search and not ours:
                continue
            target = self._targets.get(link.text) if link.search else None
            if isinstance(target, FhirError):
                raise blame(target, f"{patched.get('resourceType')}.{path_of(patched, link)}")
            if isinstance(target, FhirStoreError):
                raise target
            rewrite(link, self._target, base=brought.base if ours else "")
            if link.names_one_of(self._full_urls):
                raise unresolved(f"{patched.get('resourceType')}.{path_of(patched, link)}")

    def _target(self, text: str) -> Target | None:
        target = self._targets.get(text)
        return None if isinstance(target, FhirStoreError) else target

    def _searches(self) -> list[str]:
        return list(dict.fromkeys(link.text for link in self._links() if link.search))

    def _brought_searches(self) -> list[str]:
        """Returns the texts in patches that have the form of a reference by search."""
        found = (text for brought in self._brought.values() for text in brought.texts if is_search(text))
        return list(dict.fromkeys(found))

    def _links(self) -> Iterable[Link]:
        return (link for _, _, links in self._found for link in links)

    def _blamed(self, text: str, error: FhirStoreError) -> FhirStoreError:
        """Returns the error, with the place of the first reference that has this text."""
        for entry, _, links in self._found:
            for link in links:
                if link.search and link.text == text and entry.resource is not None and isinstance(error, FhirError):
                    return blame(error, f"{entry.place}.resource.{path_of(entry.resource, link)}")
        return error


def _question(text: str) -> Question:
    type_, _, criteria = text.partition("?")
    return type_, criteria


def _searched(
    answer: Found | FhirStoreError, written: Written, touched: Container[tuple[str, str | None]]
) -> Target | FhirStoreError:
    """Returns the target of a reference by search, or the error where there is not exactly one."""
    if isinstance(answer, FhirStoreError):
        return answer
    references = [f"{one.type}/{one.id}" for one in answer.matches if (one.type, one.id) not in touched]
    entries = written.matching(answer.criteria)
    if entries and (answer.criteria.beyond or answer.criteria.updated):
        return _undecided()
    references += [f"{plan.type}/{plan.id}" for plan in entries]
    return Target(references[0]) if len(references) == 1 else _unclear(len(references))


def _undecided() -> Unsupported:
    return Unsupported(
        "A reference by search with a chain, `_has` or `_lastUpdated` cannot be resolved where an entry of the same"
        " transaction may match it; refer to the entry by its fullUrl"
    )


def _unclear(count: int) -> MultipleMatches:
    if count == 0:
        return MultipleMatches("No resource matches this reference by search", code="not-found")
    return MultipleMatches("Several resources match this reference by search; be more selective")
