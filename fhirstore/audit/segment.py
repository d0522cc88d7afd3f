"""A segment of the audit trail: the events of one process in a short span of time, sealed.

NDJSON, compressed by zstd. The first line is the header, the others are AuditEvents:

    {"process":"01J…","number":7,"t":…,"events":42,"previous":"{name of segment 6}","sha256":"{of its object's bytes}"}

Each segment names the one before and its hash. So a segment that was removed, changed or put in is noticed, unless
every later one of that process was changed, too. The first one of a process names the newest of the others
(`beside`), so that a process whose segments are all gone is missed as well.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime

import msgspec
import zstandard

from fhirstore.audit.event import AuditEntry, audit_event

SPAN = 60_000
"""The longest time between two events of one segment, ms."""

MOST_BYTES = 256 * 1024 * 1024
"""Of a segment's lines, uncompressed; a reader refuses more."""

PATIENTS = 500
"""Patients that one event names; those of a page with more are told by several events."""

_LEVEL = 3
_NAME = re.compile(r"(?P<t>\d{13})_(?P<process>[0-9A-HJKMNP-TV-Z]{26})_(?P<number>\d{8})\.ndjson\.zst")


class SegmentName(msgspec.Struct, frozen=True):
    """What the name of a segment says. `t`: when its first event was recorded, epoch ms. `number`: from 1."""

    t: int
    process: str
    number: int

    def __str__(self) -> str:
        return f"{self.t:013d}_{self.process}_{self.number:08d}.ndjson.zst"


def parse_name(text: str) -> SegmentName | None:
    """Returns what the name says; None where it is not the name of a segment."""
    match = _NAME.fullmatch(text)
    return None if match is None else SegmentName(int(match["t"]), match["process"], int(match["number"]))


class Header(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The first line. `final`: the process ended in good order with it. `lost`: events before it that were dropped."""

    process: str
    number: int
    t: int
    events: int
    previous: str = ""
    sha256: str = ""
    beside: str = ""
    final: bool = False
    lost: int = 0


class Sealed(msgspec.Struct, frozen=True):
    """A segment, ready to be stored. `lines`: the same events as they are shown elsewhere."""

    name: SegmentName
    body: bytes
    lines: tuple[bytes, ...] = ()

    @property
    def sha256(self) -> str:
        """The hash of the object, which the next segment names."""
        return hashlib.sha256(self.body).hexdigest()


def seal(
    entries: Sequence[AuditEntry],
    header: Header,
    *,
    patients_of: Callable[[bytes], Collection[str]],
    machine: str,
    show: Callable[[str], str] | None = None,
) -> Sealed:
    """Returns a segment of these entries. Meant for a thread: it reads every resource that they show.

    `patients_of`: the patients in whose compartments a resource is. `show`: as `audit_event`'s `hide`, for `lines`.
    """
    known: dict[tuple[str, str, int], list[str]] = {}  # a version never changes
    events: list[bytes] = []
    lines: list[bytes] = []
    for entry in entries:
        patients = _patients(entry, patients_of, known)
        for n in range(0, max(len(patients), 1), PATIENTS):
            some = patients[n : n + PATIENTS]
            id_ = f"{header.process}.{header.number}.{len(events) + 1}"
            events.append(audit_event(entry, some, id=id_, machine=machine))
            if show is not None:
                lines.append(audit_event(entry, some[:_SHOWN], id=id_, machine=machine, hide=show))
    head = msgspec.structs.replace(header, events=len(events))
    body = b"\n".join([msgspec.json.encode(head), *events, b""])
    packed = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compress(body)
    return Sealed(SegmentName(header.t, header.process, header.number), packed, tuple(lines))


_SHOWN = 8  # patients in a line that is shown elsewhere, which has a longest length


def _patients(
    entry: AuditEntry,
    patients_of: Callable[[bytes], Collection[str]],
    known: dict[tuple[str, str, int], list[str]],
) -> list[str]:
    """Returns the patients whom an event is about. `known`: those of versions that were looked at before."""
    found = dict.fromkeys(entry.patients)
    for version in entry.versions:
        if version.type == "Patient":
            found[version.id] = None
        name = (version.type, version.id, version.version_id)
        theirs = known.get(name)
        if theirs is None:
            theirs = known[name] = sorted(patients_of(version.content)) if version.content else []
        found.update(dict.fromkeys(theirs))
    if entry.type == "Patient" and entry.id:
        found[entry.id] = None
    return list(found)


class Segment(msgspec.Struct, frozen=True):
    """A segment as read. `events`: each an AuditEvent in JSON. `sha256`: of the object."""

    name: SegmentName
    header: Header
    events: tuple[bytes, ...]
    sha256: str


def decode_segment(name: SegmentName, body: bytes) -> Segment:
    """Returns the segment in an object. Raises ValueError, which says what is wrong with it."""
    try:
        reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=False)
        text = reader.read(MOST_BYTES + 1)
        if len(text) > MOST_BYTES:
            raise ValueError("too large")
        first, *events = text.splitlines()
        header = msgspec.json.decode(first, type=Header)
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError):
        raise ValueError("not readable") from None
    if (header.process, header.number, header.t) != (name.process, name.number, name.t):
        raise ValueError("its header is that of another segment")
    if header.events != len(events):
        raise ValueError(f"its header says {header.events} events, and there are {len(events)}")
    return Segment(name, header, tuple(events), hashlib.sha256(body).hexdigest())


class Told(msgspec.Struct, frozen=True):
    """What a reader looks at in an event."""

    recorded: int
    patients: frozenset[str]
    agents: frozenset[str]


def told(event: bytes) -> Told:
    """Returns the time, patients and agents of an AuditEvent of a segment. Raises ValueError where it is none."""
    plain = msgspec.json.decode(event, type=_Event)
    references = (entity.what.reference for entity in plain.entity if entity.role.code == "1")
    patients = frozenset(one.removeprefix("Patient/") for one in references)
    return Told(int(plain.recorded.timestamp() * 1000 + 0.5), patients, frozenset(_names(plain)))


class _Value(msgspec.Struct, frozen=True):
    value: str = ""


class _What(msgspec.Struct, frozen=True):
    reference: str = ""
    identifier: _Value = _Value()


class _Coded(msgspec.Struct, frozen=True):
    code: str = ""


class _Entity(msgspec.Struct, frozen=True):
    what: _What = _What()
    role: _Coded = _Coded()


class _Network(msgspec.Struct, frozen=True):
    address: str = ""


class _Agent(msgspec.Struct, frozen=True):
    who: _What = _What()
    network: _Network = _Network()


class _Event(msgspec.Struct, frozen=True):
    recorded: datetime
    agent: list[_Agent]
    entity: list[_Entity] = []


def _names(event: _Event) -> Iterator[str]:
    for agent in event.agent:
        yield from (one for one in (agent.who.identifier.value, agent.network.address) if one)
