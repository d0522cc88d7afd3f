"""Polls are counted for each job, and refused where they come too fast."""

from __future__ import annotations

from server.http.polls import Polls


def test_a_burst_is_answered_and_then_one_a_second() -> None:
    """Ten at once, then each second earns one; the wait that is told is enough."""
    now = [0.0]
    polls = Polls(burst=10, every=1.0, now=lambda: now[0])
    assert [polls.wait("a") for _ in range(10)] == [0] * 10
    wait = polls.wait("a")
    assert wait == 1
    now[0] += wait
    assert polls.wait("a") == 0
    assert polls.wait("a") == 1
    now[0] += 1_000
    assert [polls.wait("a") for _ in range(11)] == [0] * 10 + [1]


def test_each_job_has_its_own_count() -> None:
    """One client's haste is not another's."""
    polls = Polls(burst=1, now=lambda: 0.0)
    assert (polls.wait("a"), polls.wait("a"), polls.wait("b")) == (0, 1, 0)


def test_only_so_many_jobs_are_remembered() -> None:
    """Of ten thousand and one, the one that was polled least recently is forgotten."""
    polls = Polls(burst=1, now=lambda: 0.0)
    for n in range(10_001):
        polls.wait(str(n))
    assert polls.wait("10000") == 1
    assert polls.wait("0") == 0
