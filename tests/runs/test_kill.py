"""A writer that is killed in the middle leaves nothing visible, and its run can be written again.

`python -m tests.runs.large` does it with 2 GB, and states memory and rates.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.s3servers import S3Server
from fhirstore.upkeep.fsck.run import Thoroughness
from tests.runs.large import Place, kill_in_the_middle, run_child, visible

_MIB = 64


@pytest.mark.parametrize("store", ["embedded", "seaweedfs"])
@pytest.mark.kill
async def test_a_killed_writer_leaves_nothing_visible(
    store: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after half of a run; the second try with the same id is sealed, and fsck finds nothing."""
    place = Place(f"file:{tmp_path / 'store'}", None, {})
    if store == "seaweedfs":
        server: S3Server = request.getfixturevalue("seaweedfs")
        server.use(monkeypatch)
        place = Place(server.location(), server.endpoint_url, server.environment())
    kill_in_the_middle(place, run_id="r", mib=_MIB)
    assert not await visible(place, run_id="r", mib=_MIB)
    run_child(place, "write", run_id="r", mib=_MIB)
    assert await visible(place, run_id="r", mib=_MIB)
    async with place.open() as opened:
        report = await opened.tenant("default").upkeep.fsck(Thoroughness(deep=True))
        assert report.counts == {}
