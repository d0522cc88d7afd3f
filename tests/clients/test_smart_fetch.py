"""smart-fetch, the bulk client of Cumulus, exports from our server as it comes."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.server.export.exporting import listening

CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_PATIENCE = 120.0  # seconds


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """A server with two Patients, a Group of one of them, and resources of theirs."""
    async with listening() as base:
        resources: list[dict[str, object]] = [
            {"resourceType": "Group", "id": "g", "type": "person", "actual": True,
             "member": [{"entity": {"reference": "Patient/a"}}]},
        ]  # fmt: skip
        for id_ in ("a", "b"):
            subject = {"reference": f"Patient/{id_}"}
            resources.append({"resourceType": "Patient", "id": id_, "gender": "female"})
            resources.append({"resourceType": "Condition", "id": f"c-{id_}", "subject": subject})
            for category in ("laboratory", "vital-signs", "odd"):
                resources.append(
                    {
                        "resourceType": "Observation",
                        "id": f"{category}-{id_}",
                        "status": "final",
                        "category": [{"coding": [{"system": CATEGORY, "code": category}]}],
                        "code": {"text": "x"},
                        "subject": subject,
                    }
                )
        async with httpx.AsyncClient() as client:
            for each in resources:
                answer = await client.put(f"{base}/{each['resourceType']}/{each['id']}", json=each)
                assert answer.status_code == 201, answer.text
        yield base


async def smart_fetch(*arguments: str | Path) -> str:
    """Runs it to its end, and returns what it printed."""
    command = [str(Path(sys.executable).with_name("smart-fetch")), *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, out.decode()
    return out.decode()


def fetched(folder: Path) -> dict[str, set[str]]:
    """Ids by type of what is in the folder and below it."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.ndjson.gz"):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            resource = json.loads(line)
            found.setdefault(resource["resourceType"], set()).add(resource.get("id", ""))
    return found


async def test_all_types_are_asked_for_at_once_with_filters_for_some(base: str, tmp_path: Path) -> None:
    """Some twenty types; its own filter of Observations, encoded twice; types without a filter come whole."""
    await smart_fetch("bulk", tmp_path / "out", "--fhir-url", base)
    assert fetched(tmp_path / "out") == {
        "Patient": {"a", "b"},
        "Condition": {"c-a", "c-b"},
        "Observation": {"laboratory-a", "laboratory-b", "vital-signs-a", "vital-signs-b"},
    }


async def test_a_group_is_exported_by_a_managed_export(base: str, tmp_path: Path) -> None:
    """`smart-fetch export`, with all that it does afterwards."""
    await smart_fetch("export", tmp_path / "out", "--fhir-url", base, "--group", "g", "--export-mode", "bulk")
    found = fetched(tmp_path / "out")
    assert {name: found[name] for name in ("Patient", "Condition", "Observation")} == {
        "Patient": {"a"},
        "Condition": {"c-a"},
        "Observation": {"laboratory-a", "vital-signs-a"},
    }


async def test_since_auto_brings_what_changed_and_what_was_deleted(base: str, tmp_path: Path) -> None:
    """The second export begins where the first one ended."""
    where = ("--fhir-url", base, "--export-mode", "bulk", "--type", "Patient,Condition")
    await smart_fetch("export", tmp_path / "out", *where, "--nickname", "one")
    async with httpx.AsyncClient() as client:
        await client.put(f"{base}/Patient/new", json={"resourceType": "Patient", "id": "new"})
        await client.delete(f"{base}/Condition/c-a")
    await smart_fetch("export", tmp_path / "out", *where, "--nickname", "two", "--since", "auto")
    (folder,) = (tmp_path / "out").glob("*.two")
    found = fetched(folder)
    assert (found["Patient"], found.get("Condition")) == ({"new"}, None)
    (deleted,) = (folder / "deleted").glob("*.ndjson.gz")
    assert "Condition/c-a" in gzip.decompress(deleted.read_bytes()).decode()
