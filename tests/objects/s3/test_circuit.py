"""The circuit of a store that keeps failing opens, lets one probe through when it is due, and closes on an answer."""

from __future__ import annotations

from fhirstore.objects.s3.circuit import FAILURES, LONGEST, PROBE, SHORTEST, SLOW, Circuit
from tests.commit.hurried import HandClock


class NoJitter:
    """Ids of which only the jitter is asked: always the upper bound."""

    def new(self) -> str:
        raise AssertionError("a circuit needs no ids")

    def jitter(self, low: float, high: float) -> float:
        return high


def circuit() -> tuple[Circuit, HandClock]:
    clock = HandClock()
    return Circuit(clock, NoJitter()), clock


def opened() -> tuple[Circuit, HandClock]:
    made, clock = circuit()
    for _ in range(FAILURES):
        assert made.refused() == 0
        made.failed()
    return made, clock


def test_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    """A store that answers now and then is not cut off."""
    made, _ = circuit()
    for _ in range(100):
        for _ in range(FAILURES - 1):
            made.failed()
        made.answered()
    assert made.refused() == 0
    for _ in range(FAILURES):
        made.failed()
    assert made.refused() == SHORTEST


def test_an_open_circuit_lets_one_probe_through_when_it_is_due() -> None:
    """The others are refused meanwhile; the probe's answer closes it for all."""
    made, clock = opened()
    clock.ms += int(SHORTEST * 1000) - 1
    assert 0 < made.refused() <= 0.001
    clock.ms += 1
    assert made.refused() == 0, "the probe"
    assert all(made.refused() > 0 for _ in range(10))
    made.answered()
    assert made.refused() == 0
    assert made.refused() == 0


def test_each_probe_that_fails_doubles_the_pause_up_to_a_bound() -> None:
    """And the first answer makes it short again."""
    made, clock = opened()
    seen = []
    for _ in range(8):
        seen.append(made.refused())
        clock.ms += int(made.due_in * 1000)
        assert made.refused() == 0
        made.failed()
    assert seen == [1, 2, 4, 8, 16, LONGEST, LONGEST, LONGEST]
    made.answered()
    for _ in range(FAILURES):
        made.failed()
    assert made.refused() == SHORTEST


def test_failures_of_what_was_sent_before_do_not_keep_it_open_longer() -> None:
    """A hundred requests that were under way when it opened fail one after another."""
    made, _ = opened()
    for _ in range(100):
        made.failed()
    assert made.refused() == SHORTEST


def test_an_answer_to_what_was_sent_before_closes_it() -> None:
    """It proves that the store works."""
    made, _ = opened()
    made.answered()
    assert made.refused() == 0


def test_a_caller_that_gave_up_early_says_nothing_about_the_store_and_one_that_waited_does() -> None:
    """A client that hangs up is no failure of the store; a store that was silent for long is."""
    made, clock = circuit()
    for _ in range(100):
        made.given_up(clock.now())
    assert made.refused() == 0
    for _ in range(FAILURES):
        made.given_up(clock.now() - SLOW)
    assert made.refused() > 0


def test_a_probe_that_ends_without_a_word_is_followed_by_another() -> None:
    """Its caller went away: at once. Nobody says anything: after a while."""
    made, clock = opened()
    clock.ms += int(SHORTEST * 1000)
    assert made.refused() == 0
    made.given_up(clock.now())
    assert made.refused() == 0, "the next probe"
    clock.ms += PROBE
    assert made.refused() == 0, "and the one after"


def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    """The pause is bounded, whatever the clock says."""
    made, clock = opened()
    clock.ms -= 24 * 3600 * 1000
    assert made.refused() == 0


def test_who_watches_is_told_when_it_opens_and_when_it_closes() -> None:
    """Once each: a probe that fails leaves it open."""
    told: list[bool] = []
    clock = HandClock()
    made = Circuit(clock, NoJitter(), told.append)
    for _ in range(2):
        made.answered()
        for _ in range(FAILURES + 3):
            made.failed()
        clock.ms += int(made.due_in * 1000)
        assert made.refused() == 0
        made.failed()
        made.answered()
        made.answered()
    assert told == [True, False, True, False]
