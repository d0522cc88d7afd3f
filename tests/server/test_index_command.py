"""`fhirstore index` tells how the search index of this machine is, builds it, copies it, compares it and removes it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhirstore import FhirStore
from server.cli import app


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store with ten patients in each of two tenants."""
    location = f"file:{tmp_path / 'data'}"
    monkeypatch.setenv("FHIRSTORE_TENANTS", "a,b")
    monkeypatch.setenv("FHIRSTORE_INDEX", str(tmp_path / "index"))

    async def fill() -> None:
        async with FhirStore.open(location, tenants=["a", "b"]) as filled:
            for tenant in "ab":
                for number in range(10):
                    await filled.tenant(tenant).update({"resourceType": "Patient", "id": f"p{number}", "active": True})

    asyncio.run(fill())
    return location


def run(*arguments: str, code: int = 0) -> str:
    """What the command prints. `code`: its exit code."""
    result = CliRunner().invoke(app, ["index", *arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def test_an_index_is_built_told_and_removed(store: str, tmp_path: Path) -> None:
    """Of each tenant; to tell how one is makes none."""
    assert run("status", "--store", store, code=1).count("absent") == 2
    assert not (tmp_path / "index").exists()
    assert run("build", "--store", store, "--tenant", "a").count("ready, 10 resources") == 1
    told = json.loads(run("status", "--store", store, "--json", code=1))
    assert [told["a"]["state"], told["a"]["resources"], told["b"]["state"]] == ["ready", 10, "absent"]
    run("build", "--store", store)
    assert run("status", "--store", store).count("ready, 10 resources") == 2
    assert run("drop", "--store", store) == "a: removed\nb: removed\n"
    assert run("drop", "--store", store) == "a: there was none\nb: there was none\n"
    assert run("status", "--store", store, code=1).count("absent") == 2


def test_a_copy_is_stored_and_taken(store: str) -> None:
    """A build begins with it, unless it is told to read the log; a drop can remove it, too."""
    built = json.loads(run("build", "--store", store, "--tenant", "a", "--save", "--json"))["a"]
    assert built["resources"] == 10
    run("drop", "--store", store, "--tenant", "a")
    assert json.loads(run("build", "--store", store, "--tenant", "a", "--json"))["a"]["seq"] == built["seq"]
    assert "a copy of 10 resources" in run("save", "--store", store, "--tenant", "a")
    run("drop", "--store", store, "--tenant", "a", "--copies")
    assert "ready, 10 resources" in run("build", "--store", store, "--tenant", "a", "--from-log")


def test_an_index_is_compared(store: str, tmp_path: Path) -> None:
    """The exit code says whether it differs, the lines say where."""
    run("build", "--store", store)
    assert run("verify", "--store", store) == (
        "a: 10 resources compared, 0 differ\nb: 10 resources compared, 0 differ\n"
    )
    with sqlite3.connect(tmp_path / "index" / "b.sqlite") as connection:
        connection.execute("DELETE FROM token WHERE rid = (SELECT rid FROM resource WHERE id = 'p3')")
    connection.close()
    what = "values that it is said to have are not in their table"
    assert f"b: Patient/p3: {what}" in run("verify", "--store", store, code=1)
    report = json.loads(run("verify", "--store", store, "--json", code=1))
    assert report["b"]["differences"] == [{"resource": "Patient/p3", "what": what}]
    assert report["a"]["differing"] == 0


def test_a_folder_that_cannot_be_used_is_told(store: str, tmp_path: Path) -> None:
    """In one line, with exit code 2. It is not called damaged: it may be well, and its disk not."""
    (tmp_path / "index").write_text("no folder")
    assert "The search index cannot be used now" in run("build", "--store", store, code=2)
    (tmp_path / "index").unlink()
    run("build", "--store", store)
    (tmp_path / "index" / "a.sqlite.swap").unlink()
    (tmp_path / "index" / "a.sqlite.swap").mkdir()
    told = run("status", "--store", store, "--tenant", "a", code=1)
    assert "a: unusable;" in told
    assert "(The search index cannot be used now: Is a directory)" in told


def test_a_file_that_was_set_aside_is_told(store: str, tmp_path: Path) -> None:
    """When and why, until it is removed."""
    run("build", "--store", store)
    (tmp_path / "index" / "a.sqlite-wal").unlink(missing_ok=True)
    (tmp_path / "index" / "a.sqlite").write_bytes(b"no database" * 1_000)
    run("build", "--store", store)
    told = run("status", "--store", store).splitlines()
    assert len(told) == 3
    assert "a.sqlite.damaged (20" in told[1]
    assert "is damaged (SQLITE_NOTADB))" in told[1]
    run("drop", "--store", store, "--tenant", "a")
    assert "damaged" not in run("status", "--store", store, code=1)


def test_files_are_the_users_alone(store: str, tmp_path: Path) -> None:
    """They hold what resources hold: names, dates of birth."""
    run("build", "--store", store)
    assert (tmp_path / "index").stat().st_mode & 0o777 == 0o700
    with sqlite3.connect(tmp_path / "index" / "a.sqlite") as connection:
        connection.execute("SELECT count(*) FROM meta").fetchone()
        found = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "index").glob("a.sqlite*")}
    connection.close()
    assert {mode for name, mode in found.items() if not name.endswith((".lock", ".swap"))} == {0o600}
