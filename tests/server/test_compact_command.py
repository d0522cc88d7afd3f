"""`fhirstore compact` gives purged space back beside a running store, and says in one line what it cannot do."""

import json
from pathlib import Path

import pytest

from fhirstore import FhirStore
from server.commands.compact import run_compact
from server.settings import Settings


@pytest.mark.slow
async def test_compact_gives_back_what_a_purge_freed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """While the store is open, the file shrinks; what is left is still read."""
    async with FhirStore.open(f"file:{tmp_path}") as store:
        tenant = store.tenant("default")
        text = "".join(f"{number:06x}" for number in range(30_000))
        big = await tenant.create(b'{"resourceType":"Basic","code":{"text":"%s"}}' % text.encode())
        small = await tenant.create(b'{"resourceType":"Basic","code":{"text":"small"}}')
        for _ in range(3):
            await tenant.update(b'{"resourceType":"Basic","id":"%s","code":{"text":"now"}}' % big.id.encode())
        await tenant.upkeep.purge("Basic", big.id, by="test")
        assert run_compact(Settings(store=f"file:{tmp_path}"), as_json=True) == 0
        report = json.loads(capsys.readouterr().out)[f"file:{tmp_path}"]
        assert report["after"] < report["before"] - 50_000
        assert (await tenant.read("Basic", small.id)).content == small.content


async def test_compact_goes_through_the_directories_of_all_tenants(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where each tenant has a directory of its own, each is compacted."""
    buckets = {"one": "first", "two": "second"}
    async with FhirStore.open(f"file:{tmp_path / 'any'}", buckets=buckets):
        pass
    assert run_compact(Settings(store=f"file:{tmp_path / 'any'}", tenant_buckets=buckets), as_json=True) == 0
    assert sorted(json.loads(capsys.readouterr().out)) == [
        f"file:{tmp_path}/any/{name}" for name in ("first", "second")
    ]


def test_compact_of_what_is_no_embedded_store_ends_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Other kinds of stores and directories without one are refused with a line on stderr; nothing is made."""
    assert run_compact(Settings(store="memory:"), as_json=False) == 2
    assert run_compact(Settings(store=f"file:{tmp_path / 'none'}"), as_json=False) == 2
    assert not (tmp_path / "none").exists()
    assert "file:DIR" in capsys.readouterr().err
