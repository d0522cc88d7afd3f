"""The passes of fsck over one tenant, and what makes them safe on a live bucket.

| pass | requests |
|---|---|
| other keys | 1 GET + 3 LIST |
| resources | 1 LIST per 1,000 objects, 1 GET per resource, 1 GET per version |
| identity index | 1 LIST per 1,000 entries; deep, or with repair, 1 GET per resource and page |
| events | 1 LIST for the types, 1 LIST per folder and 1,000 events |
| transactions | 1 LIST, 1 GET per record, 1 GET per version that it made |
| jobs | 1 LIST per 1,000 objects below `bulk/`, 4 GET per job |
| sealed runs | 1 LIST per 1,000 objects, 1 GET per run; deep: 1 GET of each file, streamed |
| credentials | 1 LIST per 1,000 objects below `access/`, 1 GET per client and for the keys |
| payloads | 1 LIST per 1,000 objects, 1 GET and 1 LIST per content; deep: 1 GET of each content, streamed |
| buckets where the census of versions and events does not agree, as with every archived version | per bucket, a 4096th of all resources: 3 more GET per version, 1 or 2 per event |

Damage is reported only if it is found twice, `settled` apart: every write or purge that was running at the first check
is over by then. What a dead attempt left is judged by its age. Memory is bounded by one page, the resources checked in
parallel, the suspects of one round and the findings kept for the report.
"""  # noqa: E501 - a table row is one line

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Pause, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.format.keyspace import Event, Keyspace
from fhirstore.upkeep.fsck.census import VERSIONS, Census, bucket_of
from fhirstore.upkeep.fsck.credentials import walk_credentials
from fhirstore.upkeep.fsck.events import judge_events, still_there, take_census
from fhirstore.upkeep.fsck.finding import DAMAGE, KINDS, Finding, unreadable
from fhirstore.upkeep.fsck.folders import Folder, FolderWalk, survey
from fhirstore.upkeep.fsck.identity_index import Index, walk_index
from fhirstore.upkeep.fsck.jobs import walk_jobs
from fhirstore.upkeep.fsck.other_keys import read_sweeper, stray_keys
from fhirstore.upkeep.fsck.payloads import walk_payloads
from fhirstore.upkeep.fsck.repair import repair as put_right
from fhirstore.upkeep.fsck.resource import Look, examine
from fhirstore.upkeep.fsck.runs import walk_runs
from fhirstore.upkeep.fsck.transactions import walk_transactions

_TOGETHER_BYTES = 32 * 1024 * 1024
_SUSPECTS = 100
_EVENT_KINDS = ("system-event-missing", "type-event-missing")


@dataclass(frozen=True, slots=True)
class Thoroughness:
    """`deep`: hash every version, every file of a run and every content of a Binary. `repair`: repair what can be
    repaired. `page`: keys per LIST. `together`: resources checked in parallel. `keep`: findings kept for the report."""

    deep: bool = False
    repair: bool = False
    page: int = 1_000
    together: int = 8
    keep: int = 1_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is. `total`: None where it is not known yet."""

    phase: str
    done: int
    total: int | None
    findings: int


@dataclass(frozen=True, slots=True)
class FsckReport:
    """What was checked and found. `counts`: findings by kind; `repaired`: how many; `left_off`: not in `findings`.

    `archived`: the version objects in an archive class: they are there, and their content was not checked.
    """

    resources: int
    versions: int
    events: int
    counts: Mapping[str, int]
    repaired: int
    findings: tuple[Finding, ...]
    left_off: int
    archived: int = 0

    @property
    def damage(self) -> int:
        """The number of findings that are damage, repaired ones included."""
        return sum(count for kind, count in self.counts.items() if KINDS[kind][0] == DAMAGE)

    def as_json(self) -> dict[str, object]:
        """Returns the report as plain JSON values."""
        return {
            "resources": self.resources,
            "versions": self.versions,
            "events": self.events,
            "damage": self.damage,
            "repaired": self.repaired,
            "counts": dict(self.counts),
            "findings": [finding.as_json() for finding in self.findings],
            "leftOff": self.left_off,
            "archived": self.archived,
        }


def fsck(
    keys: Keyspace,
    *,
    context: Context,
    how: Thoroughness | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Protocol[FsckReport]:
    """Check everything of a tenant. Raises Unavailable."""
    run = _Run(keys, context, how or Thoroughness(), on_progress or (lambda _: None))
    sweeper = yield from read_sweeper(keys, context.limits)
    horizon = sweeper.date - context.limits.settled
    census = Census(horizon)

    def committed(event: Event) -> None:
        run.versions += 1
        census.add(event, VERSIONS)

    def archived() -> None:
        run.archived += 1

    yield from run.take([*sweeper.findings, *(yield from stray_keys(keys)), *(yield from walk_credentials(keys))])
    index = Index(keys, context.ids.new().encode())
    yield from run.take((yield from walk_index(keys, index, page=run.how.page, clean=run.how.deep or run.how.repair)))
    look = Look(
        context.limits,
        deep=run.how.deep,
        watermark=sweeper.watermark,
        committed=committed,
        current=index.read,
        archived=archived,
    )
    yield from run.resources_pass("resources", look, index=index)
    yield from run.take((yield from take_census(keys, census, page=run.how.page, seen=run.saw_events)))
    buckets = census.disagreeing()
    if buckets:
        one_by_one = replace(look, deep=False, events=True, committed=None, current=None, archived=_nothing)
        yield from run.resources_pass("versions without events", one_by_one, buckets=buckets, kinds=_EVENT_KINDS)
        yield from judge_events(
            keys, buckets, before=horizon, watermark=sweeper.watermark, page=run.how.page, take=run.take_events
        )
    yield from run.take((yield from walk_transactions(keys, page=run.how.page)))
    yield from run.take((yield from walk_jobs(keys, page=run.how.page, limits=context.limits)))
    yield from walk_runs(keys, context=context, page=run.how.page, deep=run.how.deep, take=run.take)
    yield from walk_payloads(keys, context=context, page=run.how.page, deep=run.how.deep, take=run.take)
    return run.report()


@dataclass(slots=True)
class _Run:
    keys: Keyspace
    context: Context
    how: Thoroughness
    on_progress: Callable[[Progress], None]
    resources: int = 0
    versions: int = 0
    events: int = 0
    archived: int = 0
    repaired: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    kept: list[Finding] = field(default_factory=list)

    def report(self) -> FsckReport:
        """Returns the report."""
        left_off = sum(self.counts.values()) - len(self.kept)
        return FsckReport(
            self.resources,
            self.versions,
            self.events,
            dict(self.counts),
            self.repaired,
            tuple(self.kept),
            left_off,
            self.archived,
        )

    def saw_events(self, count: int) -> None:
        """Count events. The two keys of an event count as one."""
        self.events += count
        self._show("events", self.events, self.versions)

    def take(self, findings: Sequence[Finding]) -> Protocol[None]:
        """Report certain findings, and repair them if that is wanted. `current.json` first: others are restored from
        it."""
        for found in sorted(findings, key=lambda finding: not finding.key.endswith("/current.json")):
            finding = found
            if self.how.repair and finding.repairable:
                done = yield from put_right(self.keys, finding, context=self.context)
                self.repaired += done
                finding = replace(finding, repaired=done)
            self.counts[finding.kind] += 1
            if len(self.kept) < self.how.keep:
                self.kept.append(finding)

    def take_events(self, findings: list[Finding]) -> Protocol[None]:
        """Report events that belong to no version. Those that are damage are checked again first."""
        damage = [finding for finding in findings if finding.severity == DAMAGE]
        if damage:
            yield from self._settle()
            damage = yield from still_there(self.keys, damage)
        yield from self.take([*damage, *(finding for finding in findings if finding.severity != DAMAGE)])

    def resources_pass(
        self,
        phase: str,
        look: Look,
        *,
        buckets: Container[int] | None = None,
        kinds: Sequence[str] | None = None,
        index: Index | None = None,
    ) -> Protocol[None]:
        """Check all resources or those of some buckets, and report all kinds of findings or some."""
        walk = FolderWalk(self.keys, self.keys.resources(), page=self.how.page)
        suspects: list[tuple[Folder, list[Finding]]] = []
        done = 0
        while (folders := (yield from walk.next_folders())) is not None:
            chosen = [f for f in folders if buckets is None or bucket_of(f.keys.type, f.keys.id) in buckets]
            for group in _groups(chosen, self.how.together):
                looks = yield from side_by_side([examine(folder, look) for folder in group])
                for folder, findings in zip(group, looks, strict=True):
                    wanted = _only(findings, kinds)
                    if any(finding.severity == DAMAGE for finding in wanted):
                        suspects.append((folder, wanted))
                    else:
                        yield from self.take(wanted)
                if index is not None and index.suspects:
                    yield from self.take((yield from index.missing()))
            if len(suspects) >= _SUSPECTS:
                yield from self._look_again(suspects, look, kinds)
                suspects = []
            done += len(folders)
            self._show(phase, done, None if buckets is None else self.resources)
        yield from self._look_again(suspects, look, kinds)
        if buckets is None:
            self.resources = done
            yield from self.take([*(Finding("stray-key", key) for key in walk.strays), *unreadable(walk.lost)])

    def _look_again(
        self, suspects: Sequence[tuple[Folder, list[Finding]]], look: Look, kinds: Sequence[str] | None
    ) -> Protocol[None]:
        if not suspects:
            return
        yield from self._settle()
        again = replace(look, committed=None, current=None, archived=_nothing)
        for folder, before in suspects:
            now = yield from survey(self.keys, folder.keys)
            known = {(finding.kind, finding.key) for finding in before}
            findings = _only((yield from examine(now, again)), kinds)
            yield from self.take([finding for finding in findings if (finding.kind, finding.key) in known])

    def _settle(self) -> Protocol[None]:
        yield Pause((self.context.limits.settled + 1) / 1000)

    def _show(self, phase: str, done: int, total: int | None) -> None:
        self.on_progress(Progress(phase, done, total, sum(self.counts.values())))


def _nothing() -> None:
    """Takes no note: the version was counted before."""


def _only(findings: list[Finding], kinds: Sequence[str] | None) -> list[Finding]:
    return findings if kinds is None else [finding for finding in findings if finding.kind in kinds]


def _groups(folders: Sequence[Folder], size: int) -> Iterator[list[Folder]]:
    """Yields groups of folders, bounded by number and by bytes."""
    group: list[Folder] = []
    weight = 0
    for folder in folders:
        if group and (len(group) == size or weight + folder.largest > _TOGETHER_BYTES):
            yield group
            group, weight = [], 0
        group.append(folder)
        weight += folder.largest
    if group:
        yield group
