"""The S3 servers start by themselves, and the one used for crash tests keeps its data over kill -9."""

from __future__ import annotations

import pytest

from conformance.s3servers import S3Server


@pytest.mark.parametrize("name", ["ministack", "seaweedfs", "rclone", "s3rver"])
def test_every_server_stores_what_it_is_given(name: str, request: pytest.FixtureRequest) -> None:
    """A started server answers a signed PUT and gives the bytes back."""
    server: S3Server = request.getfixturevalue(name)
    bucket = server.fresh_bucket()
    assert server.request("PUT", f"/{bucket}/a", b"body")[0] == 200
    assert server.request("GET", f"/{bucket}/a") == (200, b"body")


@pytest.mark.kill
def test_seaweedfs_keeps_acknowledged_objects_over_kill_9(seaweedfs: S3Server) -> None:
    """What SeaweedFS acknowledged is there after kill -9 and a restart on the same data."""
    assert seaweedfs.request("PUT", f"/{seaweedfs.bucket}/kept", b"body")[0] == 200
    before = seaweedfs.pid
    seaweedfs.kill()
    seaweedfs.restart()
    assert seaweedfs.pid != before
    assert seaweedfs.request("GET", f"/{seaweedfs.bucket}/kept") == (200, b"body")
