"""What waits to be applied: each version until it is applied, none twice, and no more than fits."""

from __future__ import annotations

from fhirstore.format.record import Record
from fhirstore.indexing.queue import Queue


def record(version: int, *, method: str = "PUT", size: int = 10) -> Record:
    """A version with content of so many bytes."""
    return Record(version, version, "op", method, None if method == "PURGE" else b"x" * size)


def test_the_newest_version_waits() -> None:
    """Of a resource; a purge of that version comes after it."""
    queue = Queue()
    queue.add({"Patient/p": record(2)}, now=5)
    queue.add({"Patient/p": record(1)}, now=6)
    assert queue.unapplied()["Patient/p"].version == 2
    queue.add({"Patient/p": record(2, method="PURGE")}, now=7)
    assert queue.unapplied()["Patient/p"].method == "PURGE"
    assert len(queue) == 1
    assert queue.oldest == 5


def test_what_a_run_took_waits_again_where_it_failed() -> None:
    """Behind what came meanwhile, if that is newer; until it is done it counts as unapplied."""
    queue = Queue()
    queue.add({"Patient/p": record(1), "Patient/q": record(1)}, now=1)
    taken = queue.take()
    queue.add({"Patient/p": record(2)}, now=2)
    assert {name: one.version for name, one in queue.unapplied().items()} == {"Patient/p": 2, "Patient/q": 1}
    queue.failed(taken)
    assert {name: one.version for name, one in queue.take().items()} == {"Patient/p": 2, "Patient/q": 1}


def test_nothing_waits_when_all_is_done() -> None:
    """By a run that took it, or one that only applied it."""
    queue = Queue()
    queue.add({"Patient/p": record(1)}, now=1)
    taken = queue.take()
    queue.add({"Patient/q": record(1)}, now=2)
    queue.done(taken)
    assert list(queue.unapplied()) == ["Patient/q"]
    queue.applied(queue.unapplied())
    assert not len(queue)
    assert queue.oldest is None


def test_what_does_not_fit_is_dropped_whole() -> None:
    """All versions of a transaction or none; the next run that reads the log finds them. Room comes back."""
    queue = Queue(room=100)
    queue.add({"Patient/p": record(1, size=60)}, now=1)
    queue.add({"Patient/q": record(1, size=20), "Patient/r": record(1, size=30)}, now=1)
    assert list(queue.unapplied()) == ["Patient/p"]
    assert [queue.dropped, len(queue)] == [True, 1]
    queue.done(queue.take())
    queue.add({"Patient/q": record(1, size=99)}, now=1)
    assert [queue.dropped, len(queue)] == [False, 1]


def test_what_was_dropped_counts_as_missing_until_a_run_has_found_it() -> None:
    """While the run is under way, and after one that failed, too; what is dropped meanwhile is for the next run."""
    queue = Queue()
    queue.drop()
    first = queue.take()
    assert queue.dropped
    queue.failed(first)
    assert queue.dropped
    second = queue.take()
    queue.drop()
    queue.done(second)
    assert queue.dropped
    queue.done(queue.take())
    assert not queue.dropped
