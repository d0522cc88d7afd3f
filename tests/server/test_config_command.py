"""`fhirstore config show` tells every setting, its value and its source, and no secret."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from server.commands.config import FILES, MASK, masked
from server.settings import TABLE

_NAMES = [one.name for one in TABLE.values()]


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of this shell, and no credentials of this machine."""
    for name in os.environ:
        if name.startswith(("FHIRSTORE_", "AWS_")) or name in ("HOST", "PORT"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)


def _show(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["config", "show", *arguments])


def test_every_setting_is_shown_with_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults, what the environment says, and what a file says that the environment names."""
    file = tmp_path / "tenants.toml"
    file.write_text("[default]\nrequests_per_second = 5\n")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("FHIRSTORE_TENANT_SETTINGS", str(file))
    result = _show("--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [one["name"] for one in report["settings"]] == _NAMES
    found = {one["name"]: (one["value"], one["source"]) for one in report["settings"]}
    assert found["PORT"] == ("9000", "environment")
    assert found["HOST"] == ("127.0.0.1", "default")
    assert found["FHIRSTORE_TENANT_SETTINGS"] == (str(file), "file")
    assert (report["credentials"], report["error"]) == (None, None)
    changed = json.loads(_show("--json", "--changed").stdout)["settings"]
    assert [one["name"] for one in changed] == ["PORT", "FHIRSTORE_TENANT_SETTINGS"]
    assert "9000" in _show().stdout
    assert set(_NAMES) >= FILES


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tokens are masked, and of the credentials for S3 only the source is told."""
    secrets = {
        "FHIRSTORE_EXPORT_TOKEN": "hush-1",
        "AWS_ACCESS_KEY_ID": "hush-2",
        "AWS_SECRET_ACCESS_KEY": "hush-3",
        "AWS_SESSION_TOKEN": "hush-4",
    }
    for name, value in {**secrets, "FHIRSTORE_STORE": "s3://bucket", "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    for arguments in ((), ("--json",)):
        result = _show(*arguments)
        assert result.exit_code == 0, result.output
        assert "hush" not in result.output
        assert "the environment (AWS_ACCESS_KEY_ID)" in result.stdout
        assert MASK in result.stdout
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    assert json.loads(_show("--json").stdout)["credentials"] == "nowhere"


def test_what_a_server_would_refuse_is_shown_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong values and unknown variables: exit code 1, and the table all the same."""
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("fhirstore_tenants", "x")
    result = _show()
    assert result.exit_code == 1
    assert "PORT" in result.stderr and "did you mean FHIRSTORE_TENANTS" in result.stderr
    assert "many" in result.stdout
    assert "PORT" in json.loads(_show("--json").stdout)["error"]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("SOME_TOKEN", "x", MASK),
        ("DB_PASSWORD", "x", MASK),
        ("ACCESS_LOG_KEY", "x", MASK),
        ("FHIRSTORE_STORE", "s3://key:secret@bucket/p", f"s3://{MASK}@bucket/p"),
        ("FHIRSTORE_BASE_URL", "https://a.example/fhir", "https://a.example/fhir"),
        ("FHIRSTORE_TENANTS", "a," * 500, ("a," * 250) + "…"),
    ],
)
def test_values_are_masked_by_name_and_by_form(name: str, value: str, shown: str) -> None:
    """A variable that speaks of a secret, user names in URLs, and what is too long for a line."""
    assert masked(name, value) == shown
