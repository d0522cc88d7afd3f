"""Lines and segments of a stream of chunks: whatever the chunks, the same; bounded, whatever comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hypothesis import given
from hypothesis import strategies as st

from fhirstore.submit.lines import Bounds, Segment, segments

_BOUNDS = Bounds(lines=3, size=40, line=12)


async def _chunks(body: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    at = 0
    for size in sizes:
        if at < len(body):
            yield body[at : at + size]
        at += size
    if at < len(body):
        yield body[at:]


async def _split(body: bytes, sizes: list[int], bounds: Bounds = _BOUNDS) -> list[Segment]:
    return [one async for one in segments(_chunks(body, sizes), bounds)]


@given(
    st.lists(st.binary(max_size=16).map(lambda line: line.replace(b"\n", b".")), max_size=12),
    st.lists(st.integers(1, 9)),
)
async def test_segments_are_the_lines_whatever_the_chunks(lines: list[bytes], sizes: list[int]) -> None:
    """Numbers, offsets and content; a line that is too long is an empty one with a note; the last segment says so."""
    body = b"\n".join(lines)
    found = await _split(body, sizes)
    kept = [b"" if len(line) > _BOUNDS.line else line for line in lines]
    assert [line for _, line in _all_lines(found)] == [line for line in kept if line and not line.isspace()]
    long = [number for number, line in enumerate(lines, 1) if len(line) > _BOUNDS.line]
    assert [number for one in found for number in one.too_long] == long
    assert [one.last for one in found] == [False] * (len(found) - 1) + [True]
    at, first = 0, 1
    for one in found:
        assert (one.start, one.first) == (at, first)
        assert one.count <= _BOUNDS.lines and len(one.body) <= _BOUNDS.size + _BOUNDS.line + 1
        at, first = one.end, first + one.count
    assert at == len(body)


@given(st.lists(st.binary(max_size=8).map(lambda line: line.replace(b"\n", b".")), max_size=12), st.data())
async def test_a_file_that_is_read_on_gives_the_same_segments(lines: list[bytes], data: st.DataObject) -> None:
    """From the start of any segment."""
    body = b"\n".join(lines)
    found = await _split(body, [])
    at = data.draw(st.sampled_from(found))
    rest = [one async for one in segments(_chunks(body[at.start :], []), _BOUNDS, first=at.first, start=at.start)]
    assert rest == found[found.index(at) :]


async def test_an_endless_line_is_not_kept() -> None:
    """It takes no more memory than the limit, and the lines after it are read."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(10_000):
            yield b"x" * 1_000
        yield b"\nafter\n"

    found = [one async for one in segments(endless(), Bounds(line=5_000))]
    assert [(one.too_long, list(one.lines()), len(one.body)) for one in found] == [([1], [(2, b"after")], 7)]


def _all_lines(found: list[Segment]) -> list[tuple[int, bytes]]:
    return [line for one in found for line in one.lines()]
