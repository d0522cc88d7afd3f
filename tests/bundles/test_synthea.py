"""What Synthea writes is loaded whole: hospitals and practitioners first, then patients who refer to them."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path

import httpx
import pytest

from server.commands.load import load
from server.commands.load.order import in_turns
from server.commands.load.reading import find_files
from tests.server.processes import served

SYNTHEA = Path(__file__).parent.parent / "data" / "synthea"
_REFERENCE = re.compile(r'"reference": "([^"#]+)"')


def everything(base: str) -> dict[str, dict[str, object]]:
    """All current resources, by `Type/id`."""
    found: dict[str, dict[str, object]] = {}
    url = f"{base}/_history?_count=250"
    while url:
        page = httpx.get(url).raise_for_status().json()
        for one in page.get("entry", []):
            found.setdefault(f"{one['resource']['resourceType']}/{one['resource']['id']}", one["resource"])
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    return found


def test_files_go_in_turns() -> None:
    """Batches before transactions, hospitals before practitioners, whatever the files are called otherwise."""
    turns = [[file.path.name[:6] for file in turn] for turn in in_turns(find_files([SYNTHEA]))]
    assert turns == [["0-hosp"], ["0-prac"], ["085e81", "8708d3"]]


@pytest.mark.parametrize("times", [2])
@pytest.mark.slow
def test_loading_twice_makes_nothing_twice(tmp_path: Path, times: int) -> None:
    """Every reference leads to a resource; entries with ifNoneExist exist once, after the second load too."""
    with served({"FHIRSTORE_STORE": f"file:{tmp_path}/data"}) as server:
        for n in range(times):
            summary = asyncio.run(load([SYNTHEA], server.base_url))
            assert summary.ok, summary.failures
            expected = (46, 0) if n == 0 else (46 - 9, 9)
            assert (summary.count("created"), summary.count("existing")) == expected
        resources = everything(server.base_url)
    count = Counter(name.partition("/")[0] for name in resources)
    assert (count["Organization"], count["Location"], count["Practitioner"]) == (3, 3, 3)
    assert count["Patient"] == 2 * times
    references = {link for resource in resources.values() for link in _REFERENCE.findall(json.dumps(resource))}
    assert references
    assert references <= resources.keys()
