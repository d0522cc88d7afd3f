"""A limit on the function calls that evaluating invariants and profiles may make.

Profiles come from users, and some invariants of the specification take time that grows with the square of a resource.

Calls are counted by Python's profiling hook, in the evaluating thread; code under the limit takes about twice as long.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

_R = TypeVar("_R")


class TooManyCalls(BaseException):
    """The evaluation makes too many calls. Not an Exception, because the evaluators catch and ignore those."""


def call_within(most: int, do: Callable[[], _R]) -> _R:
    """Returns what `do` returns. Raises TooManyCalls if it calls more than `most` functions."""
    left = most

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        if event in ("call", "c_call"):
            left -= 1
            if left < 0:
                raise TooManyCalls

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        return do()
    finally:
        sys.setprofile(before)
