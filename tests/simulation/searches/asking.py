"""The searches of the simulation, and what they may be answered.

Whatever was committed before a search began is in its answer, wherever it was written: so the versions that a search
shows, or leaves out, are such as were current at some instant of it. A server whose searches are *local* may be behind,
but not behind what it has acknowledged itself. Of a transaction all or nothing. All pages together show one state: each
match once, in order, with the content of that version, and the total says how many. What is purged is not shown.
Where servers of other machines go on with the pages, that holds for what nobody changes meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fhirstore import Version
from tests.simulation.model.truth import History, Truth
from tests.simulation.searches.servers import Shown

Content = Mapping[str, Any]
Others = Callable[[str], list[Content]]
"""What a resource, by its name, may have been then; empty content where it was not there."""


@dataclass(frozen=True, slots=True)
class Search:
    """`meets`: whether a resource of the type is a match; both, where that depends on what another one was then.

    `key`: by what the matches are sorted, `descending` or not, None last.
    """

    type: str
    query: str
    meets: Callable[[Content, Others], set[bool]]
    key: Callable[[Content], str | None] | None = None
    descending: bool = False


def _family(content: Content) -> str | None:
    return content["name"][0]["family"] if "name" in content else None


def _has_family(family: str) -> Callable[[Content, Others], set[bool]]:
    return lambda content, _: {_family(content) == family}


def _of_family(family: str) -> Callable[[Content, Others], set[bool]]:
    def meets(content: Content, others: Others) -> set[bool]:
        if "subject" not in content:
            return {False}
        return {_family(one) == family for one in others(content["subject"]["reference"])}

    return meets


SEARCHES = (
    Search("Patient", "", lambda _, __: {True}),
    Search("Patient", "family=Xu", _has_family("Xu")),
    Search("Patient", "family:exact=Yi&_sort=-_id", _has_family("Yi"), lambda content: content["id"], descending=True),
    Search("Patient", "active=true&_sort=family", lambda content, _: {content.get("active") is True}, _family),
    Search("Patient", "active:not=true&_sort=-family", lambda content, _: {not content.get("active")}, _family, True),
    Search("Patient", "family:missing=true", lambda content, _: {_family(content) is None}),
    Search("Observation", "", lambda _, __: {True}),
    Search("Observation", "subject:Patient.family=Xu", _of_family("Xu")),
)


@dataclass(slots=True)
class Asked:
    """A search, from its first page on. `began`: the search; `since`: the earliest instant whose state it may show.
    `ended`: when its first page was there; `read`: when the last one was. `known`: versions that it must not be behind.
    `back`: the matches on the way back, in order. `abroad`: other machines went on.
    """

    search: Search
    who: str
    began: float
    since: float
    known: Mapping[str, int]
    ended: float = 0.0
    read: float = 0.0
    matches: list[tuple[str, int]] = field(default_factory=list)
    contents: list[tuple[float, Version]] = field(default_factory=list)
    totals: set[int | None] = field(default_factory=set)
    whole: bool = False
    back: list[str] | None = None
    abroad: bool = False

    def add(self, shown: Shown, asked: float, now: float) -> None:
        """One page more, which was asked for at some instant."""
        self.ended = self.ended or now
        self.read = now
        self.matches += [(f"{one.type}/{one.id}", one.version_id) for one in shown.matches]
        self.contents += [(asked, one) for one in shown.matches]
        self.totals.add(shown.total)
        self.whole = shown.next is None

    def judge(self, truth: Truth) -> list[str]:
        """What is wrong with it."""
        return list(_Judging(self, truth).findings())


@dataclass(slots=True)
class _Judging:
    asked: Asked
    truth: Truth

    def findings(self) -> Iterator[str]:
        """What is wrong with the answer."""
        asked = self.asked
        histories = {f"{one.keys.type}/{one.keys.id}": one for one in self.truth.histories.values()}
        if asked.abroad:
            yield from self._abroad(histories)
            return
        shown = dict(asked.matches)
        if len(shown) < len(asked.matches):
            yield f"shows a resource twice: {asked.matches}"
        if asked.back is not None and asked.back != [*shown] and not self._purged(histories):
            yield f"shows {asked.back} on the way back from {asked.matches}"
        for name, version in asked.matches:
            yield from self._match(name, version)
        for since, one in asked.contents:
            yield from self._content(since, one)
        if asked.whole:
            for name, history in histories.items():
                if history.keys.type == asked.search.type and name not in shown and not self._may_be_left_out(history):
                    yield f"leaves out {name}, which is a match in all versions {self._seen(history)} of that time"
            if len(asked.totals) != 1 or (asked.totals != {len(asked.matches)} and not self._purged(histories)):
                yield f"says that there are {asked.totals} of {len(asked.matches)} matches"
        yield from self._order()
        yield from self._transactions(shown, histories)

    def _abroad(self, histories: Mapping[str, History]) -> Iterator[str]:
        asked = self.asked
        asked.ended = asked.read  # each page may be later than the one before
        for name, version in asked.matches:
            yield from self._match(name, version)
        for since, one in asked.contents:
            yield from self._content(since, one)
        for name, history in histories.items():
            if history.keys.type != asked.search.type or len(self._seen(history)) != 1:
                continue
            times = [one for one, _ in asked.matches].count(name)
            if times > 1 or (asked.whole and not times and not self._may_be_left_out(history)):
                yield f"shows {name} {times} times, though nobody changed it"

    def _match(self, name: str, version: int) -> Iterator[str]:
        history = self.truth.histories.get(name.partition("/")[2])
        if history is None or not 0 < version <= len(history.versions):
            yield f"shows {name} version {version}, which never was"
        elif version not in self._seen(history) and history.versions[version - 1].purged > self.asked.read:
            yield f"shows {name} version {version}; at that time it was {self._seen(history)}"
        elif True not in self.asked.search.meets(_content(history, version), self._others):
            yield f"shows {name} version {version}, which is no match"

    def _content(self, asked: float, shown: Version) -> Iterator[str]:
        history = self.truth.histories.get(shown.id)
        if history is not None and 0 < shown.version_id <= len(history.versions):
            truly = history.versions[shown.version_id - 1]
            if truly.purged < asked:
                yield f"shows {shown}, which was purged {asked - truly.purged:.0f} ms before"
            if (truly.record.resource or b"") != shown.content:
                yield f"shows {shown} with another content"

    def _seen(self, history: History) -> set[int]:
        """The versions that were current at some instant whose state may be shown; 0: none."""
        asked = self.asked
        known = asked.known.get(f"{history.keys.type}/{history.keys.id}", 0)
        untils = [since for since, _ in history.states[1:]] + [float("inf")]
        return {
            version
            for (since, version), until in zip(history.states, untils, strict=True)
            if since <= asked.ended and until >= asked.since and (version >= known or (history.floor and not version))
        }

    def _others(self, name: str) -> list[Content]:
        history = self.truth.histories.get(name.partition("/")[2])
        if history is None:
            return [{}]
        known = self._seen(history) | set(range(history.floor + 1))  # an index hears late of a purge
        return [_content(history, version) for version in known]

    def _may_be_left_out(self, history: History) -> bool:
        purged = any(version.purged <= self.asked.read for version in history.versions)
        return purged or any(
            not content or False in self.asked.search.meets(content, self._others)
            for content in (_content(history, version) for version in self._seen(history))
        )

    def _purged(self, histories: Mapping[str, History]) -> bool:
        """Was anything purged before the last page, that this search may have counted?"""
        return any(one.floor for one in histories.values() if one.keys.type == self.asked.search.type)

    def _order(self) -> Iterator[str]:
        search = self.asked.search
        if search.key is None:
            return
        keys = [
            search.key(_content(self.truth.histories[name.partition("/")[2]], at)) for name, at in self.asked.matches
        ]
        there = [key for key in keys if key is not None]
        wanted: list[str | None] = [*sorted(there, reverse=search.descending), *([None] * (len(keys) - len(there)))]
        if keys != wanted:
            yield f"is sorted as {keys}"

    def _transactions(self, shown: Mapping[str, int], histories: Mapping[str, History]) -> Iterator[str]:
        """Of a transaction all or nothing, as far as the answer tells."""
        for tx, decided in self.truth.transactions.decisions.items():
            there: dict[bool, list[str]] = {True: [], False: []}
            for type_, id_, version in decided.decision.parts if decided.decision.committed else ():
                name = f"{type_}/{id_}"
                history = histories.get(name)
                if history is None or history.floor or type_ != self.asked.search.type:
                    continue
                for told in self._told(name, history, version, shown):
                    there[told].append(name)
            if there[True] and there[False]:
                yield f"shows a part of transaction {tx}: {there[True]}, and not {there[False]}"

    def _told(self, name: str, history: History, version: int, shown: Mapping[str, int]) -> Iterator[bool]:
        """Whether the answer says that this version, or a later one, was there; nothing where both may be.

        A local search may show a later version that its own server made, and yet not know what others made before.
        """
        if self.asked.since < self.asked.began:
            if name in shown and shown[name] <= version:
                yield shown[name] == version
            return
        if name in shown:
            yield shown[name] >= version
            return
        left_out = self._seen(history)
        if self.asked.whole:
            left_out = {
                one
                for one in left_out
                if not _content(history, one) or False in self.asked.search.meets(_content(history, one), self._others)
            }
        if len(told := {one >= version for one in left_out}) == 1:
            yield told.pop()


def _content(history: History, version: int) -> Content:
    """Of a version; empty where that is a tombstone, or none."""
    return _parsed(history.versions[version - 1].record.resource or b"{}") if version else {}


@cache
def _parsed(body: bytes) -> Content:
    content: Content = json.loads(body)
    return content
