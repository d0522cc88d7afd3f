"""`fhirstore bucket create` makes a bucket on a server of one's own, and none on AWS by accident."""

from __future__ import annotations

import json
import uuid

import pytest
from typer.testing import CliRunner, Result

from conformance.s3servers import S3Server
from server.cli import app


def _create(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["bucket", "create", *arguments])


@pytest.mark.s3
@pytest.mark.parametrize("server", ["ministack", "seaweedfs"])
def test_a3_a_bucket_is_made_once_and_can_be_used(
    server: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, there already, and good for the next step that is told."""
    s3: S3Server = request.getfixturevalue(server)
    location = f"s3://made-{uuid.uuid4().hex[:12]}/prefix"
    for name, value in s3.serving(location).items():
        monkeypatch.setenv(name, value)
    first = _create()
    assert first.exit_code == 0, first.output
    assert "is made" in first.stdout and f"fhirstore probe --store {location}" in first.stdout
    again = _create("--json")
    assert (again.exit_code, json.loads(again.stdout)) == (0, {"store": location, "created": False})
    assert CliRunner().invoke(app, ["stats"]).exit_code == 0


def test_nothing_is_made_on_aws_without_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint the command ends before it asks anybody."""
    monkeypatch.delenv("FHIRSTORE_S3_ENDPOINT_URL", raising=False)
    result = _create("--store", "s3://some-bucket")
    assert (result.exit_code, "--yes" in result.stderr) == (2, True)


@pytest.mark.s3
def test_what_cannot_be_made_is_told_in_a_line(ministack: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store without a bucket, a malformed name, and a server that is not there."""
    for name, value in ministack.serving(ministack.location()).items():
        monkeypatch.setenv(name, value)
    for store in ("file:x", "memory:", "s3://Not_A_Bucket"):
        result = _create("--store", store)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("fhirstore: ") and len(result.stderr.splitlines()) == 1
    monkeypatch.setenv("FHIRSTORE_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    assert _create("--store", "s3://some-bucket").exit_code == 2
