"""The checker accepts what may happen and names what may not: each rule has a small history that breaks only it."""

from __future__ import annotations

import pytest

from tests.linearizability.checker import violations
from tests.linearizability.history import DELETED, Committed, Kind, Operation, Result

ONE, TWO, THREE = (Committed(f"digest {n}", token=f"t{n}", updated=f"2026-01-01T00:00:0{n}.000Z") for n in (1, 2, 3))
GONE = Committed(DELETED)
DONE, FAILED, UNKNOWN = Result.DONE, Result.FAILED, Result.UNKNOWN


def put(n: int, start: int, end: int, result: Result = DONE, *, version: int | None = None, **more: int) -> Operation:
    """An update with content n; acknowledged as version n unless said otherwise."""
    done = result is DONE
    version = version or (n if done else None)
    return Operation(
        Kind.UPDATE,
        "x",
        start,
        end,
        result,
        token=f"t{n}",
        version=version,
        content=f"digest {n}" if done else None,
        if_match=more.get("if_match"),
        created=bool(more.get("created", version == 1)),
    )


def read(version: int, start: int, end: int, content: str | None = None) -> Operation:
    """A read that saw `version` as current; 0: nothing."""
    return Operation(
        Kind.READ, "x", start, end, DONE, version=version, content=content or (f"digest {version}" if version else None)
    )


def vread(asked: int, start: int, end: int, result: Result = DONE) -> Operation:
    """A vread that found `asked`, or did not."""
    if result is FAILED:
        return Operation(Kind.VREAD, "x", start, end, FAILED, asked=asked)
    return Operation(Kind.VREAD, "x", start, end, DONE, asked=asked, version=asked, content=f"digest {asked}")


def delete(
    version: int | None, start: int, end: int, result: Result = DONE, *, if_match: int | None = None
) -> Operation:
    """A delete answered with `version`; 0: there was nothing."""
    content = DELETED if version and result is DONE else None
    return Operation(Kind.DELETE, "x", start, end, result, version=version, content=content, if_match=if_match)


FIRST, SECOND = put(1, 0, 10), put(2, 20, 30)


@pytest.mark.parametrize(
    ("operations", "versions"),
    [
        ([], []),
        ([FIRST, SECOND], [ONE, TWO]),
        ([put(2, 0, 30), put(1, 0, 30)], [ONE, TWO]),  # concurrent: either order
        ([FIRST, put(2, 20, 30, if_match=1)], [ONE, TWO]),
        ([FIRST, put(3, 20, 30, FAILED, version=1, if_match=7)], [ONE]),
        ([FIRST, put(2, 20, 30, UNKNOWN)], [ONE]),  # never applied
        ([FIRST, put(2, 20, 30, UNKNOWN), read(1, 40, 50), read(2, 60, 70)], [ONE, TWO]),  # applied late
        ([FIRST, SECOND, read(1, 25, 28), read(2, 24, 27)], [ONE, TWO]),  # both within the write
        ([FIRST, read(0, 0, 5), vread(1, 0, 5, FAILED), vread(2, 40, 50, FAILED)], [ONE]),
        ([FIRST, delete(2, 20, 30), delete(2, 40, 50), read(2, 60, 70, DELETED)], [ONE, GONE]),
        ([FIRST, delete(None, 20, 30, UNKNOWN), delete(2, 40, 50)], [ONE, GONE]),
        ([FIRST, delete(None, 20, 30, UNKNOWN), delete(None, 20, 30, FAILED)], [ONE, GONE]),
        ([FIRST, delete(2, 20, 30), put(3, 40, 50, created=1)], [ONE, GONE, THREE]),
        ([FIRST, delete(2, 20, 30, if_match=1), delete(2, 40, 50, if_match=2)], [ONE, GONE]),
        ([delete(0, 0, 10), FIRST], [ONE]),
    ],
)
def test_what_may_happen_is_accepted(operations: list[Operation], versions: list[Committed]) -> None:
    """A linearizable history has no violations, in whatever order its operations come."""
    assert violations(operations, versions) == []
    assert violations(reversed(operations), versions) == []


@pytest.mark.parametrize(
    ("operations", "versions", "says"),
    [
        ([FIRST, SECOND], [ONE], "lost"),
        ([FIRST, read(2, 20, 30)], [ONE], "lost"),
        ([FIRST, put(2, 0, 5, version=1)], [ONE], "showed another content"),
        ([FIRST, read(1, 20, 30, content="other")], [ONE], "showed another content"),
        ([FIRST, vread(1, 20, 30), SECOND, read(1, 24, 27, content=DELETED)], [ONE, TWO], "showed another content"),
        ([FIRST, put(3, 20, 30, FAILED)], [ONE, THREE], "failed, and yet"),
        ([FIRST], [ONE, TWO], "nobody wrote"),
        ([FIRST, put(2, 20, 30, UNKNOWN)], [ONE, TWO, TWO], "more than once"),
        ([FIRST, SECOND], [ONE, Committed("digest 2", "t2", ONE.updated)], "not later"),
        ([put(2, 0, 10), put(1, 20, 30)], [ONE, TWO], "not linearizable"),
        ([FIRST, SECOND, read(1, 40, 50)], [ONE, TWO], "not linearizable"),  # stale
        ([FIRST, put(2, 20, 90, UNKNOWN), read(2, 30, 40), read(1, 50, 60)], [ONE, TWO], "not linearizable"),  # back
        ([FIRST, put(2, 50, 60, UNKNOWN), read(2, 30, 40)], [ONE, TWO], "not linearizable"),  # foreseen
        ([FIRST, read(0, 20, 30)], [ONE], "not linearizable"),
        ([FIRST, vread(1, 20, 30, FAILED)], [ONE], "not linearizable"),
        ([FIRST, SECOND, put(3, 40, 50, FAILED, version=1, if_match=7)], [ONE, TWO], "not linearizable"),
        ([FIRST, put(3, 40, 50, FAILED, version=1, if_match=1)], [ONE], "412, and yet"),
        ([FIRST, SECOND, put(3, 40, 50, if_match=1)], [ONE, TWO, THREE], "against its If-Match"),
        ([FIRST, SECOND, delete(3, 40, 50, if_match=1)], [ONE, TWO, GONE], "against its If-Match"),
        ([put(1, 0, 10, created=0), SECOND], [ONE, TWO], "201 or 200"),
        ([FIRST, put(2, 20, 30, created=1)], [ONE, TWO], "201 or 200"),
        ([FIRST], [ONE, GONE], "no delete"),
        ([FIRST, delete(None, 20, 30, FAILED)], [ONE, GONE], "no delete"),
        (
            [FIRST, delete(None, 12, 14, UNKNOWN), put(3, 20, 30, created=1)],
            [ONE, GONE, THREE, GONE],
            "no delete",
        ),
        ([FIRST, delete(None, 60, 70, UNKNOWN), read(2, 20, 30, DELETED)], [ONE, GONE], "no delete"),
        ([FIRST, delete(0, 20, 30)], [ONE], "not linearizable"),
    ],
)
def test_what_may_not_happen_is_named(operations: list[Operation], versions: list[Committed], says: str) -> None:
    """A broken history has a violation that says what is wrong."""
    assert any(says in line for line in violations(operations, versions)), violations(operations, versions)
