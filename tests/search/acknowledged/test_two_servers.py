"""What one server acknowledges is found by the next search on the other.

At full size: `python -m tests.search.acknowledged`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from tests.search.acknowledged.checking import found_at_once, options_of, paged, two_servers


async def test_every_write_is_found_at_once_by_the_other_server(tmp_path: Path) -> None:
    """Created, changed or deleted, on an embedded store."""
    async with two_servers(f"file:{tmp_path / 'data'}", tmp_path) as (one, other):
        found = await found_at_once(one, other, 90)
    assert found.missed == []
    assert found.found == 90


async def test_pages_show_each_match_of_their_moment_once(tmp_path: Path) -> None:
    """While the other server changes, deletes and creates matches."""
    async with two_servers(f"file:{tmp_path / 'data'}", tmp_path) as (one, other):
        pages = await paged(one, other, 300, page=25, least=5)
    assert pages.wrong == []
    assert pages.matches == 300
    assert pages.writes > 40


@pytest.mark.s3
async def test_both_hold_on_s3(ministack: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on the embedded store."""
    ministack.use(monkeypatch)
    async with two_servers(ministack.location(), tmp_path, s3=options_of(ministack)) as (one, other):
        found = await found_at_once(one, other, 40)
        pages = await paged(one, other, 60, page=10, least=3)
    assert (found.found, found.missed) == (40, [])
    assert (pages.matches, pages.wrong) == (60, [])
