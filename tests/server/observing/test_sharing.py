"""What several processes have counted is together in one scrape, whoever of them lives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from server.observing.measures import Measures
from server.observing.sharing import SILENT, Shared, publish
from server.observing.snapshot import Snapshot


def _snapshot(pid: int, *, reads: int, in_flight: int = 1) -> Snapshot:
    measures = Measures()
    measures.in_flight = in_flight
    for _ in range(reads):
        measures.answered("read", 200, 0.01)
    return msgspec.structs.replace(measures.snapshot(), pid=pid)


def _reads(snapshot: Snapshot) -> int:
    series = dict(snapshot.distributions["fhirstore_interaction_seconds"])
    return sum(series["read", "200"].counts)


def _in_flight(snapshot: Snapshot) -> float:
    return dict(snapshot.values["fhirstore_requests_in_flight"]).get((), 0.0)


def _ended() -> int:
    """The pid of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_a_process_counted_stays_when_it_ends_and_what_it_held_goes(tmp_path: Path) -> None:
    """Its counts are taken in once, and its file is removed."""
    shared = Shared(tmp_path)
    publish(tmp_path, _snapshot(os.getpid(), reads=2))
    publish(tmp_path, _snapshot(_ended(), reads=5))
    publish(tmp_path, _snapshot(_ended(), reads=7))
    for _ in range(3):
        found = shared.read()
        assert (_reads(found), _in_flight(found)) == (14, 1)
        assert dict(found.values["fhirstore_processes"]) == {(): 1}
    assert [path.name for path in tmp_path.iterdir()] == [f"{os.getpid()}.snapshot"]


def test_a_process_that_is_silent_holds_nothing(tmp_path: Path) -> None:
    """It hangs, or its id belongs to another one: its counts stay, and when it speaks again, they are not doubled."""
    shared = Shared(tmp_path)
    snapshot = _snapshot(os.getpid(), reads=3)
    publish(tmp_path, msgspec.structs.replace(snapshot, at=snapshot.at - SILENT - 1))
    found = shared.read()
    assert _reads(found) == 3 and "fhirstore_processes" not in found.values
    publish(tmp_path, _snapshot(os.getpid(), reads=4))
    found = shared.read()
    assert (_reads(found), _in_flight(found)) == (4, 1)


def test_what_is_no_snapshot_is_passed_over(tmp_path: Path) -> None:
    """A file of another program, or one that is not whole."""
    (tmp_path / "1.snapshot").write_bytes(b"\xc1")
    (tmp_path / "2.part").write_bytes(b"")
    publish(tmp_path, _snapshot(os.getpid(), reads=1))
    assert _reads(Shared(tmp_path).read()) == 1
