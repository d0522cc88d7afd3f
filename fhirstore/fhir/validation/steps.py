"""A bound on how long rules are evaluated, in calls of functions: the rules of profiles are anybody's, and some of the
specification's own take time that grows with the square of a resource.

Counted by Python's profiling hook, for the thread that evaluates; what runs within it takes about twice as long.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

_R = TypeVar("_R")


class TooManySteps(BaseException):
    """What was to be evaluated takes too long. No Exception, since evaluators pass over those."""


def within(most: int, do: Callable[[], _R]) -> _R:
    """What `do` gives. Raises TooManySteps where it would call more than `most` functions."""
    left = most

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event in ("call", "c_call"):
            left -= 1
            if left < 0:
                raise TooManySteps

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return do()
    finally:
        sys.setprofile(before)
