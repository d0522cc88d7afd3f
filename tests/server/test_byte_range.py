"""Range and If-Range: which part of a file is asked for."""

from __future__ import annotations

import pytest

from server.http.byte_range import OutOfRange, asked_range

_TAG = '"abc"'


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-1000", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("Bytes = 1-1", (1, 2)),
        ("bytes=9-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("items=0-1", None),
        ("bytes=0-9" + "9" * 40, None),
        ("bytes=\u0660-\u0661".encode().decode("latin-1"), None),
        ("", None),
    ],
)
def test_one_range_of_bytes_is_read(header: str, part: tuple[int, int] | None) -> None:
    """What is malformed, of another unit or of several parts asks for the whole."""
    assert asked_range({b"range": header.encode("latin-1")}, size=100, tag=_TAG) == part


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_none(header: str) -> None:
    """It is refused, not answered with nothing."""
    with pytest.raises(OutOfRange):
        asked_range({b"range": header.encode()}, size=100, tag=_TAG)


@pytest.mark.parametrize(("condition", "part"), [(_TAG, (0, 10)), ('"other"', None), ('W/"abc"', None), ("abc", None)])
def test_if_range_must_name_the_same_bytes(condition: str, part: tuple[int, int] | None) -> None:
    """By a strong tag; otherwise the client gets the whole, whatever it has."""
    headers = {b"range": b"bytes=0-9", b"if-range": condition.encode()}
    assert asked_range(headers, size=100, tag=_TAG) == part
