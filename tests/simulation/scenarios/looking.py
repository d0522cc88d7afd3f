"""Histories: what clients are shown of many versions at once, and what a page promises."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Protocol
from fhirstore.errors import NotFound, Unavailable
from fhirstore.history.events import EventsHistory
from fhirstore.history.instance import instance_page
from fhirstore.history.page import HistoryPage, HistoryQuery
from fhirstore.history.remembered import RememberedHistories
from fhirstore.version import Version
from tests.simulation.model.process import Process
from tests.simulation.model.task import Call
from tests.simulation.model.truth import KEYS, TYPE, History, Truth

_FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Page:
    """GET [type]/_history: the first page, of at most `count` entries."""

    count: int = 250
    oldest_first: bool = False

    def start(self, process: Process, context: Context, call: Call) -> Protocol[HistoryPage]:
        kept = process.memory.setdefault("histories", RememberedHistories())
        assert isinstance(kept, RememberedHistories)
        query = HistoryQuery(count=self.count, oldest_first=self.oldest_first)
        return EventsHistory("", KEYS, TYPE, query, kept, context).page(None)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        if not isinstance(call.outcome, HistoryPage):
            return [f"ended with {call.outcome!r}"]
        page, ended = call.outcome, call.ended
        wrong = [fault for version in page.versions for fault in _false(version, call, ended, truth, purged=True)]
        shown = {(version.id, version.version_id) for version in page.versions}
        for id_, history in truth.histories.items():
            for number, made in enumerate(history.versions, 1):
                belongs = self._covers(page, made.record.t, id_, number) and made.purged == _FOREVER
                if not belongs or (id_, number) in shown:
                    continue
                if made.at < call.began:
                    wrong.append(f"does not show version {number} of {id_}, which was there")
                if made.record.t < page.as_of and made.at > ended and abs(call.skew) <= 1.0:
                    wrong.append(f"was told that nothing before {page.as_of} is to come, but version {number} of {id_}")
        for tx, decided in truth.transactions.decisions.items():
            t, parts = decided.decision.t, {(id_, version) for _, id_, version in decided.decision.parts}
            there = {
                part
                for part in parts
                if truth.history(part[0]).versions[part[1] - 1].purged == _FOREVER and self._covers(page, t, *part)
            }
            if there & shown and not there <= shown:
                wrong.append(f"shows {sorted(there & shown)} of {tx}, but not {sorted(there - shown)}")
        return wrong

    def _covers(self, page: HistoryPage, t: int, id: str, version: int) -> bool:
        """Does this version belong on the page, by its place?"""
        if page.next is None:
            return True
        if not page.versions:
            return False
        last = page.versions[-1]
        mine, end = _place(t, id, version), _place(last.last_updated_ms, last.id, last.version_id)
        return mine <= end if self.oldest_first else mine >= end


def _place(t: int, id: str, version: int) -> str:
    return f"{t:013d}_{id}_{version}_"


@dataclass(frozen=True, slots=True)
class Versions:
    """GET [type]/[id]/_history, all that fits on the first page."""

    id: str

    def start(self, process: Process, context: Context, call: Call) -> Protocol[HistoryPage]:
        return instance_page(KEYS.resource(TYPE, self.id), HistoryQuery(count=250), None, context=context)

    def judge(self, call: Call, truth: Truth) -> list[str]:
        if call.ended is None or isinstance(call.outcome, Unavailable):
            return []
        history = truth.history(self.id)
        if isinstance(call.outcome, NotFound):
            nothing = history.shows(0, call.began, call.ended)
            return [] if nothing else ["found nothing, though there was something all the time"]
        if not isinstance(call.outcome, HistoryPage):
            return [f"ended with {call.outcome!r}"]
        versions, ended = call.outcome.versions, call.ended
        wrong = [fault for version in versions for fault in _false(version, call, ended, truth)]
        numbers = [version.version_id for version in versions]
        if numbers and not history.shows(numbers[0], call.began, ended):
            wrong.append(f"begins with version {numbers[0]}, which was not current at any time meanwhile")
        if not self._complete(numbers, history):
            wrong.append(f"shows versions {numbers}")
        return wrong

    def _complete(self, numbers: list[int], history: History) -> bool:
        """From the newest down to the oldest, none missing; but for those that are purged."""
        if history.floor:
            return True
        return numbers == list(range(len(numbers), 0, -1))


def _false(version: Version, call: Call, ended: float, truth: Truth, *, purged: bool = False) -> list[str]:
    """Is this version what was committed, before the call was over? `purged`: it may be one that is being purged."""
    history = truth.history(version.id)
    number = version.version_id
    there = history.holds(number, call.began, ended)
    if purged and not there and 0 < number <= len(history.versions):
        there = history.versions[number - 1].at <= ended and history.versions[number - 1].gone >= call.began
    if not there:
        return [f"shows version {number} of {version.id}, which was not there then"]
    truly = history.versions[number - 1].record
    told = (version.last_updated_ms, version.method, version.content)
    if told != (truly.t, truly.method, truly.resource or b""):
        return [f"shows another version {number} of {version.id} than was committed"]
    return []
