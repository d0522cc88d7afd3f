"""Switching off one rule: a function runs with one piece of its source replaced, and is itself again afterwards.

The function keeps its identity and gets other code, so that whoever imported it runs the mutant.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType

from tests.simulation.plots import ABOUT_RESOURCES, Plot


@dataclass(frozen=True, slots=True)
class Mutant:
    """`function` with `old`, which stands there exactly once, replaced by `new`.

    `shape`: the scenarios that are after this rule. `within`: it is caught by so many schedules of that shape, or of
    all shapes in turn, the first ones. `plot`: whose schedules they are. `begin`: the first of these schedules
    that do not catch it, which are left out.
    """

    name: str
    function: Callable[..., object]
    old: str
    new: str
    within: int = 1_000
    shape: str | None = None
    plot: Plot = ABOUT_RESOURCES
    begin: int = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The rule is off for the length of the block."""
        function = self.function
        if not isinstance(function, FunctionType):
            raise TypeError(f"{self.name}: not a plain function")
        source = textwrap.dedent(inspect.getsource(function))
        if source.count(self.old) != 1:
            raise ValueError(f"{self.name}: {function.__qualname__} holds {self.old!r} {source.count(self.old)} times")
        source = source.replace("@property\n", "").replace(self.old, self.new)
        scope = dict(function.__globals__)
        exec(compile(source, f"<mutant {self.name}>", "exec"), scope)  # noqa: S102 - our own source, mutated
        mutated = scope[function.__name__]
        assert isinstance(mutated, FunctionType)
        original = function.__code__
        function.__code__ = mutated.__code__
        try:
            yield
        finally:
            function.__code__ = original


def getter(attribute: object) -> Callable[..., object]:
    """The function behind a property."""
    assert isinstance(attribute, property)
    assert attribute.fget is not None
    return attribute.fget
