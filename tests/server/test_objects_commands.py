"""`fhirstore ls`, `cat` and `presign` show objects by key and by FHIR reference."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode

import httpx
import pytest
from typer.testing import CliRunner, Result

from conformance.s3servers import S3Server
from fhirstore import FhirStore, S3Options
from server.cli import app
from server.settings import from_environment

PATIENT = {"resourceType": "Patient", "id": "p.1", "active": True}


async def _filled(location: str, s3: S3Options | None = None) -> None:
    async with FhirStore.open(location, tenants=["a", "b"], s3=s3, inline_bytes=100) as store:
        await store.tenant("a").update(PATIENT)
        await store.tenant("a").update(PATIENT | {"active": False})
        await store.tenant("a").update(PATIENT | {"id": "q"})
        await store.tenant("a").delete("Patient", "q")
        for name, size in (("small", 3), ("large", 300)):
            data = b64encode(bytes(size)).decode()
            binary = {"resourceType": "Binary", "id": name, "contentType": "application/pdf", "data": data}
            await store.tenant("a").update(binary)
        (objects,) = store.tenancy.stores
        await objects.put("a/inbox/big.bin", bytes(range(256)) * 1000)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> str:
    location = f"file:{tmp_path_factory.mktemp('store')}"
    asyncio.run(_filled(location))
    return location


@pytest.fixture
def store(filled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    location = filled
    monkeypatch.setenv("FHIRSTORE_TENANTS", "a,b")
    monkeypatch.setenv("FHIRSTORE_STORE", location)
    return location


def _names(*arguments: str) -> list[str]:
    result = _run("ls", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line)["name"] for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("store")
def test_ls_walks_from_the_root_to_a_version() -> None:
    """Each name that it prints can be given back to it, down to an object."""
    assert _names() == ["a/"]
    assert "a/resources/" in _names("a/")
    assert _names("a/resources/Patient/") == ["a/resources/Patient/p.1/", "a/resources/Patient/q/"]
    assert _names("resources/Patient/p.1/", "--tenant", "a") == [
        "resources/Patient/p.1/_history/",
        "resources/Patient/p.1/current.json",
    ]
    assert _names("Patient", "--tenant", "a") == ["Patient/p.1", "Patient/q"]
    assert sorted(_names("Patient/p.1", "--tenant", "a")) == [
        "Patient/p.1",
        "Patient/p.1/_history/1",
        "Patient/p.1/_history/2",
    ]
    assert _names("Patient/p.1/_history/2", "--tenant", "a") == ["Patient/p.1/_history/2"]
    assert _names("a/inbox", "-r") == ["a/inbox/big.bin"]
    shown = _run("ls", "inbox", "-r", "--tenant", "a").stdout
    assert "256,000" in shown and shown.rstrip().endswith("inbox/big.bin")


@pytest.mark.usefixtures("store")
def test_ls_ends_where_it_is_told() -> None:
    """`--limit` prints so many lines and says on stderr that there are more; nothing found is exit code 1."""
    result = _run("ls", "a/", "-r", "--limit", "2")
    assert (len(result.stdout.splitlines()), result.exit_code) == (2, 0)
    assert "more than 2" in result.stderr
    for nothing in (("a/none",), ("Patient/none", "--tenant", "a"), ("Basic", "--tenant", "b")):
        assert _run("ls", *nothing).exit_code == 1


@pytest.mark.usefixtures("store")
def test_cat_prints_resources_and_bytes() -> None:
    """A resource is its JSON, an object its bytes, and `--json` tells what is known of either."""
    assert json.loads(_run("cat", "Patient/p.1", "--tenant", "a").stdout)["active"] is False
    first = json.loads(_run("cat", "Patient/p.1/_history/1", "--tenant", "a").stdout)
    assert (first["active"], first["meta"]["versionId"]) == (True, "1")
    assert _run("cat", "a/inbox/big.bin").stdout_bytes == bytes(range(256)) * 1000
    assert b'"op"' in _run("cat", "a/resources/Patient/p.1/current.json").stdout_bytes
    known = json.loads(_run("cat", "Patient/p.1", "--tenant", "a", "--json").stdout)
    assert (known["reference"], known["versionId"]) == ("Patient/p.1", 2)
    assert json.loads(_run("cat", "a/inbox/big.bin", "--json").stdout)["size"] == 256_000


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (("cat", "Patient/none", "--tenant", "a"), 1, "No such resource"),
        (("cat", "Patient/q", "--tenant", "a"), 1, "deleted"),
        (("cat", "Patient/p.1/_history/7", "--tenant", "a"), 1, "version"),
        (("cat", "a/none"), 1, "nothing is there"),
        (("cat", "Patient/p.1"), 2, "--tenant"),
        (("cat", "Patient", "--tenant", "a"), 2, "is a type"),
        (("cat", "Patient/p 1", "--tenant", "a"), 2, "no reference"),
        (("cat", "Nonsense/1", "--tenant", "a"), 2, "No FHIR resource type"),
        (("cat", "Patient/p.1", "--tenant", "c"), 2, "not configured"),
        (("cat", "../a"), 2, "segment"),
        (("presign", "a/inbox/big.bin"), 2, "no URLs"),
        (("presign", "a/none"), 1, "nothing is there"),
        (("presign", "Patient/p.1", "--tenant", "a"), 2, "no file"),
        (("presign", "a/resources/Patient/x/current.json", "--put"), 2, "fhirstore alone"),
        (("presign", "_probe/x", "--put"), 2, "fhirstore alone"),
    ],
)
def test_what_cannot_be_shown_is_told_in_a_line(arguments: tuple[str, ...], code: int, why: str) -> None:
    """1: it is not there. 2: it was asked for in a way that cannot be answered."""
    result = _run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("fhirstore: ") and why in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.s3
def test_presigned_urls_of_a_bucket_work_without_credentials(
    ministack: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GET reads the object; a PUT with the headers that were told writes a foreign one."""
    location = ministack.location()
    for name, value in ministack.serving(location).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FHIRSTORE_TENANTS", "a,b")
    asyncio.run(_filled(location, from_environment(os.environ, serving=False).s3))
    url = _run("presign", "a/inbox/big.bin", "--expires", "60").stdout.strip()
    assert httpx.get(url, timeout=15).content == bytes(range(256)) * 1000
    signed = json.loads(_run("presign", "a/inbox/new", "--put", "--content-type", "text/plain", "--json").stdout)
    sent = httpx.request(signed["method"], signed["url"], content=b"hello", headers=signed["headers"], timeout=15)
    assert sent.status_code == 200
    assert _run("cat", "a/inbox/new").stdout == "hello"
    assert json.loads(_run("cat", "Patient/p.1", "--tenant", "a").stdout)["active"] is False
    content = httpx.get(_run("presign", "Binary/large", "--tenant", "a").stdout.strip(), timeout=15).content
    assert content == bytes(300)
    inline = _run("presign", "Binary/small", "--tenant", "a")
    assert (inline.exit_code, "in its record" in inline.stderr) == (2, True)
    known = json.loads(_run("cat", "Binary/large", "--tenant", "a", "--json").stdout)
    assert known["payload"]["size"] == 300


def test_a_reader_that_goes_away_ends_it_quietly(store: str) -> None:
    """`fhirstore ls | head -1`: no traceback."""
    import subprocess
    import sys

    command = f"{sys.executable} -c 'from server.cli import main; main()' ls a/ -r --store {store} | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
