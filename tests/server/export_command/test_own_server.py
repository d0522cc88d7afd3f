"""`fhirstore export` and `fhirstore serve` understand each other, in both versions of the guide."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from server.commands.export import ExportSummary, Order, Pace, export
from server.settings import Settings
from tests.server.export.exporting import listening
from tests.server.export_command.scripted import SWIFT

PACE = Pace(first=0.2, longest=0.5, patience=1.0)


@asynccontextmanager
async def serving(version: int) -> AsyncIterator[str]:
    """A server of that version, with ten Patients, five Observations of each, and a Group of the first two."""
    async with listening(Settings(bulk_version=version)) as base:
        members = [{"entity": {"reference": f"Patient/p{n}"}} for n in (0, 1)]
        group = {"resourceType": "Group", "id": "g", "type": "person", "actual": True, "member": members}
        resources: list[dict[str, object]] = [group]
        for n in range(10):
            resources.append({"resourceType": "Patient", "id": f"p{n}", "active": True})
            for m in range(5):
                status = "final" if m % 2 else "amended"
                of = {"subject": {"reference": f"Patient/p{n}"}, "code": {"text": "x"}, "status": status}
                resources.append({"resourceType": "Observation", "id": f"o{n}-{m}", **of})
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in resources
        ]
        async with httpx.AsyncClient() as client:
            bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
            answer = await client.post(base, json=bundle, headers={"Content-Type": "application/fhir+json"})
            assert answer.status_code == 200
        yield base


@pytest.fixture
async def base() -> AsyncIterator[str]:
    """A server as it comes."""
    async with serving(3) as base:
        yield base


async def run(order: Order, folder: Path, since_file: Path | None = None) -> ExportSummary:
    return await export(order, folder, since_file=since_file, retries=SWIFT, pace=PACE)


def ids(folder: Path, type_: str) -> set[str]:
    found = [json.loads(line)["id"] for path in folder.glob(f"{type_}.*.ndjson") for line in path.open()]
    assert len(found) == len(set(found))
    return set(found)


@pytest.mark.parametrize("version", [3, 4])
async def test_each_level_brings_what_it_should(version: int, tmp_path: Path) -> None:
    """Everything; all patients' compartments with a filter; those of a Group's members. The job is gone then."""
    types = ("Patient", "Observation")
    async with serving(version) as base:
        orders = {
            "all": Order(base=base),
            "some": Order(base=base, level="patient", types=types, type_filters=("Observation?status=final",)),
            "group": Order(base=base, level="group", group="g", types=types),
        }
        summaries = await asyncio.gather(*(run(order, tmp_path / name) for name, order in orders.items()))
        assert all(summary.ok for summary in summaries)
        journal = (tmp_path / "all" / "export.journal").read_text()
        status_url = next(line["url"] for line in map(json.loads, journal.splitlines()) if line["event"] == "job")
        async with httpx.AsyncClient() as client:
            assert (await client.get(status_url)).status_code == 404
    found = {name: (ids(tmp_path / name, "Patient"), ids(tmp_path / name, "Observation")) for name in orders}
    assert {name: tuple(map(len, both)) for name, both in found.items()} == {
        "all": (10, 50),
        "some": (10, 20),
        "group": (2, 10),
    }
    assert found["group"] == ({"p0", "p1"}, {f"o{n}-{m}" for n in (0, 1) for m in range(5)})


async def test_a_since_file_brings_changes_and_deletions(base: str, tmp_path: Path) -> None:
    """The second export has what changed after the first, and nothing twice."""
    since = tmp_path / "since"
    assert (await run(Order(base=base), tmp_path / "1", since)).ok
    async with httpx.AsyncClient() as client:
        await client.put(f"{base}/Patient/new", json={"resourceType": "Patient", "id": "new"})
        await client.delete(f"{base}/Observation/o9-4")
    summary = await run(Order(base=base), tmp_path / "2", since)
    assert summary.ok
    assert ids(tmp_path / "2", "Patient") == {"new"}
    assert ids(tmp_path / "2", "Observation") == set()
    (line,) = (tmp_path / "2" / "deleted" / "Bundle.001.ndjson").read_text().splitlines()
    assert [entry["request"] for entry in json.loads(line)["entry"]] == [
        {"method": "DELETE", "url": "Observation/o9-4"}
    ]


async def test_what_the_server_refuses_is_told_in_its_words(base: str, tmp_path: Path) -> None:
    """And with --lenient it goes on, and says what it left out."""
    order = Order(base=base, types=("Patient",), type_filters=("Patient?_sort=birthdate",))
    summary = await run(order, tmp_path / "a")
    assert summary.status == "failed"
    assert "_sort" in (summary.stopped or "")
    lenient = await run(msgspec.structs.replace(order, lenient=True), tmp_path / "b")
    assert any("_sort" in text for _, _, text in lenient.messages)
    assert len(ids(tmp_path / "b", "Patient")) == 10
