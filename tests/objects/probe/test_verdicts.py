"""How the probe judges a race and a clock, and how its report is told: pure functions, case by case."""

import json

import pytest

from fhirstore.errors import ConditionalConflict, OutcomeUnknown, PreconditionFailed, StoreBusy
from fhirstore.objects.base import StoredObject
from fhirstore.objects.probe import Check, Outcome, ProbeReport, render
from fhirstore.objects.probe.client import Broken, Inconclusive
from fhirstore.objects.probe.clock import Sight, compare
from fhirstore.objects.probe.races import Racer, judge

WON = Racer(b"a", etag="1")
ALSO_WON = Racer(b"b", etag="2")
LOST = Racer(b"c", refusal=PreconditionFailed)
CONFLICT = Racer(b"d", refusal=ConditionalConflict)
UNKNOWN = Racer(b"e", refusal=OutcomeUnknown)
BUSY = Racer(b"f", refusal=StoreBusy)


@pytest.mark.parametrize(
    ("racers", "body", "verdict"),
    [
        ([WON, LOST, LOST], b"a", None),
        ([WON, CONFLICT, BUSY], b"a", None),
        ([WON, LOST, UNKNOWN], b"a", None),
        ([WON, ALSO_WON, LOST], b"a", Broken),
        ([WON, LOST], b"c", Broken),
        ([WON, LOST, UNKNOWN], b"e", Broken),
        ([WON, LOST], None, Broken),
        ([WON, BUSY, BUSY], b"a", Inconclusive),
        ([UNKNOWN, LOST, LOST], b"e", Inconclusive),
        ([LOST, LOST], b"c", Inconclusive),
        ([CONFLICT, CONFLICT], None, Inconclusive),
        ([BUSY, BUSY], None, Inconclusive),
    ],
)
def test_race_is_judged(racers: list[Racer], body: bytes | None, verdict: type[Exception] | None) -> None:
    """One acknowledged winner whose body stands is a pass; two, or another body, a violation; all else unclear."""
    found = None if body is None else StoredObject(body, "1", 0)
    if verdict is None:
        judge(racers, found)
    else:
        with pytest.raises(verdict):
            judge(racers, found)


def test_winner_must_be_told_the_right_etag() -> None:
    """A PUT that answers an ETag no GET will ever show breaks the next If-Match."""
    with pytest.raises(Broken):
        judge([WON, LOST], StoredObject(b"a", "other", 0))


@pytest.mark.parametrize(
    ("first", "last", "estimate", "holds"),
    [
        (Sight(0, 50_000, 10), Sight(1_000, 51_000, 1_010), 51_500, True),
        (Sight(0, 50_000, 10), Sight(100, 50_000, 110), 50_900, True),  # whole seconds: not yet the next one
        (Sight(0, 50_000, 10), Sight(5_000, 50_000, 5_010), 50_500, False),  # stands still
        (Sight(0, 50_000, 10), Sight(1_000, 60_000, 1_010), 60_500, False),  # runs away
        (Sight(0, 50_000, 10), Sight(1_000, 40_000, 1_010), 40_500, False),  # went back
        (Sight(0, 50_000, 10), Sight(1_000, 51_000, 1_010), 61_000, False),  # estimated far ahead
        (Sight(0, 50_000, 10), Sight(1_000, 51_000, 1_010), 41_000, False),  # estimated far behind
        (Sight(0, 50_000, 9_000), Sight(10_000, 51_000, 19_000), 60_000, True),  # slow answers excuse much
        (Sight(0, 0, 10), Sight(1_000, 0, 1_010), 0, False),  # no date at all
    ],
)
def test_clock_is_compared(first: Sight, last: Sight, estimate: int, holds: bool) -> None:
    """The store's clock runs like ours, within whole seconds and the time answers took, and is estimated right."""
    if holds:
        compare(first, last, estimate)
    else:
        with pytest.raises(Broken):
            compare(first, last, estimate)


def report_of(*outcomes: tuple[str, bool, Outcome]) -> ProbeReport:
    checks = tuple(Check(name, "it works", required, outcome, "so", 3) for name, required, outcome in outcomes)
    return ProbeReport("memory:", False, checks, skew=5, seconds=0.25)


def test_safe_means_every_required_check_held() -> None:
    """A fact that is not required may be otherwise; an unclear answer, or no check at all, is no pass."""
    assert report_of(("a", True, Outcome.HELD), ("b", False, Outcome.BROKEN)).safe
    assert not report_of(("a", True, Outcome.HELD), ("b", True, Outcome.INCONCLUSIVE)).safe
    assert not report_of(("a", True, Outcome.BROKEN)).safe
    assert not report_of().safe


def test_report_as_json() -> None:
    """The JSON form names the store, the verdict and every check."""
    told = json.loads(json.dumps(report_of(("a", True, Outcome.HELD), ("b", True, Outcome.BROKEN)).as_json()))
    assert (told["store"], told["safe"], told["clock_skew_ms"]) == ("memory:", False, 5)
    assert [(check["name"], check["held"]) for check in told["checks"]] == [("a", True), ("b", False)]
    assert set(told["checks"][0]) == {"name", "proves", "required", "held", "outcome", "detail", "requests"}


def test_report_as_text() -> None:
    """The table is aligned, marks each check, and ends with one sentence on what to do."""
    report = report_of(
        ("a", True, Outcome.HELD), ("a-longer-one", True, Outcome.BROKEN), ("c", False, Outcome.INCONCLUSIVE)
    )
    lines = render(report, override="--unsafe-single-writer").splitlines()
    table = [line for line in lines if "it works" in line]
    assert [line[0] for line in table] == ["✓", "✗", "?"]
    assert len({line.index("it works") for line in table}) == 1
    assert "a-longer-one" in lines[-1]
    assert "--unsafe-single-writer" in lines[-1]
    assert lines[-1].startswith("NOT SAFE")
