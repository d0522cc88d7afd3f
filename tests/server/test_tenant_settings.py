"""The file of tenant settings: a tenant's own table wins over `[default]`, and that over the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.settings import BadSetting, Settings, from_environment
from server.settings.tenants import TenantSettings

_SEVERAL = {"FHIRSTORE_TENANT_SOURCE": "header", "FHIRSTORE_TENANTS": "clinic-a,clinic-b"}


def _read(tmp_path: Path, text: str | bytes, **env: str) -> Settings:
    file = tmp_path / "tenants.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return from_environment({**_SEVERAL, "FHIRSTORE_TENANT_SETTINGS": str(file), **env})


def test_the_nearest_word_about_a_tenant_wins(tmp_path: Path) -> None:
    """Its own table, then `[default]`, then the environment, then no limit; key by key."""
    settings = _read(
        tmp_path,
        "[default]\nrequests_per_second = 200\nweight = 2\n"
        "[clinic-a]\nrequests_per_second = 0.5\nconcurrent_requests = 64\narchive_after_days = 90\n",
        FHIRSTORE_TENANT_REQUESTS_PER_SECOND="7",
        FHIRSTORE_TENANT_BYTES_PER_SECOND="1000",
    )
    assert settings.settings_of("clinic-a") == TenantSettings(0.5, 1000.0, 64, 2, archive_after_days=90)
    assert settings.settings_of("clinic-b") == TenantSettings(200, 1000.0, None, 2)


def test_a_tenant_has_its_own_kms_key(tmp_path: Path) -> None:
    """Its own table, then `[default]`, then the environment: what S3 encrypts the tenant's objects with."""
    text = "[default]\nkms_key = 'alias/all'\n[clinic-a]\nkms_key = 'key-a'\n"
    env = {"FHIRSTORE_STORE": "s3://bucket", "FHIRSTORE_S3_SSE": "aws:kms", "FHIRSTORE_S3_SSE_KMS_KEY_ID": "env"}
    encryption = _read(tmp_path, text, **env).s3.encryption
    assert encryption is not None
    assert [encryption.key_of(f"{name}/x") for name in ("clinic-a", "clinic-b")] == ["key-a", "alias/all"]
    alone = _read(tmp_path, "[clinic-a]\nkms_key = 'key-a'\n", **env).s3.encryption
    assert alone is not None
    assert [alone.key_of(f"{name}/x") for name in ("clinic-a", "clinic-b")] == ["key-a", "env"]


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"FHIRSTORE_S3_SSE": "aes"}, "FHIRSTORE_S3_SSE: must be one of none, AES256, aws:kms"),
        ({"FHIRSTORE_S3_SSE": "AES256"}, "only a store s3://… is encrypted by S3"),
        ({"FHIRSTORE_S3_SSE_KMS_KEY_ID": "k"}, "FHIRSTORE_S3_SSE_KMS_KEY_ID: goes with FHIRSTORE_S3_SSE=aws:kms"),
        ({"FHIRSTORE_S3_SSE_KMS_KEY_ID": "a b"}, "must be the id, ARN or alias of a KMS key"),
        ({"FHIRSTORE_S3_SSE_BUCKET_KEY": "true"}, "FHIRSTORE_S3_SSE_BUCKET_KEY: goes with"),
    ],
)
def test_encryption_that_cannot_be_is_refused(env: dict[str, str], told: str) -> None:
    """At the start, by the name of the setting, and not at the first write."""
    with pytest.raises(BadSetting, match=re.escape(told)):
        from_environment(env)


def test_a_kms_key_needs_kms(tmp_path: Path) -> None:
    """A tenant's key without SSE-KMS would silently encrypt nothing with it."""
    with pytest.raises(BadSetting, match="kms_key of clinic-a goes with FHIRSTORE_S3_SSE=aws:kms"):
        _read(tmp_path, "[clinic-a]\nkms_key = 'key-a'\n", FHIRSTORE_STORE="s3://bucket", FHIRSTORE_S3_SSE="AES256")


def test_without_a_file_nothing_is_limited() -> None:
    """A server that nobody has configured refuses nothing."""
    assert Settings().settings_of("default") == TenantSettings()
    assert not Settings().settings_of("default").limited


def test_any_tenant_may_have_a_table_where_any_may_exist(tmp_path: Path) -> None:
    """With FHIRSTORE_TENANTS=* a table names a tenant that need not have data yet."""
    settings = _read(tmp_path, "[clinic-z]\nweight = 3\n", FHIRSTORE_TENANTS="*")
    assert settings.settings_of("clinic-z").weight == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[clinic-a]\nrequests_per_secnd = 1\n", "[clinic-a] requests_per_secnd: no such key; did you mean requests_"),
        ("[clinic-a]\nqq = 1\n", "[clinic-a] qq: no such key; there are requests_per_second, "),
        ("[clinic-z]\nweight = 1\n[clinic-y]\n", "no such tenants: clinic-z, clinic-y"),
        ("[Clinic_A]\nweight = 1\n", "[Clinic_A] is no tenant id"),
        ("weight = 1\n", "'weight' stands outside of a table"),
        ("[default]\nweight = 0\n", "[default] weight: must be a positive whole number, 100 at most"),
        ("[default]\nconcurrent_requests = 1.5\n", "concurrent_requests: must be a positive whole number"),
        ("[default]\nconcurrent_requests = true\n", "concurrent_requests: must be a positive whole number"),
        ("[default]\nrequests_per_second = nan\n", "requests_per_second: must be a positive number"),
        ("[default]\nbytes_per_second = '1'\n", "bytes_per_second: must be a positive number"),
        ("[default]\nbytes_per_second = inf\n", "bytes_per_second: must be a positive number"),
        ("[default]\nkms_key = 5\n", "[default] kms_key: must be the id, ARN or alias of a KMS key"),
        ("[default\n", "the file is no TOML: "),
        ("[a]\nx = " + "[" * 5_000, "the file is no TOML: "),
        (b"\xff", "not in UTF-8"),
        ("#" * (4 * 1024 * 1024 + 1), "larger than 4,194,304 bytes"),
    ],
)
def test_what_a_file_cannot_say_stops_the_start(tmp_path: Path, text: str | bytes, told: str) -> None:
    """The message names the setting, the tenant and the key; a misspelt one is never passed over."""
    with pytest.raises(BadSetting) as caught:
        _read(tmp_path, text)
    assert str(caught.value).startswith("FHIRSTORE_TENANT_SETTINGS: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_error_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    """One start shows them all."""
    with pytest.raises(BadSetting) as caught:
        _read(tmp_path, "[default]\nweight = 0\n[clinic-a]\nbytes = 1\n[B_]\n")
    for name in ("[default] weight", "[clinic-a] bytes", "[B_]"):
        assert name in str(caught.value)


@pytest.mark.parametrize("path", ["", "missing.toml"])
def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path, path: str) -> None:
    """A folder is no file."""
    with pytest.raises(BadSetting, match="FHIRSTORE_TENANT_SETTINGS: the file cannot be read"):
        from_environment({**_SEVERAL, "FHIRSTORE_TENANT_SETTINGS": str(tmp_path / path)})
