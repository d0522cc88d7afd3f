"""`fhirstore audit` prints, filters and checks the trail that a real server wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from server.commands.audit import read_time
from tests.server.processes import run_command, served

NOW = 1_800_000_000_000


@pytest.mark.kill
def test_a_trail_is_read_and_checked(tmp_path: Path) -> None:
    """After the server has ended: its last segment is there, and says that it was the last."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data", "FHIRSTORE_AUDIT": "store", "FHIRSTORE_AUDIT_SECONDS": "30"}
    with served(env) as server:
        for n in range(3):
            body = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": "zebrafinch"}]}
            assert httpx.put(f"{server.base_url}/Patient/p{n}", json=body).status_code == 201
        httpx.get(f"{server.base_url}/Patient/p1")
        assert server.stop() == 0
    lines = run_command(env, "audit", "--tenant", "default", "--patient", "p1").stdout.splitlines()
    assert len(lines) == 2
    assert " ok update 127.0.0.1 Patient/p1/_history/1 of=Patient/p1 request=" in lines[0]
    assert " ok read 127.0.0.1 " in lines[1]
    events = run_command(env, "audit", "--since", "1h", "--agent", "127.0.0.1", "--json").stdout.splitlines()
    assert [json.loads(event)["resourceType"] for event in events] == ["AuditEvent"] * 4
    assert "zebrafinch" not in "".join(events)
    assert run_command(env, "audit", "--until", "1h").stdout == ""
    checked = run_command(env, "audit", "--verify", "--json")
    report = json.loads(checked.stdout)
    assert checked.returncode == 0 and (report["events"], report["open"], report["findings"]) == (4, 0, [])
    for wrong in (("--since", "soon"), ("--tenant", "nobody")):
        refused = run_command(env, "audit", *wrong)
        assert refused.returncode == 2 and refused.stdout == "" and "\n" not in refused.stderr.strip()


def test_times_are_dates_or_so_long_ago() -> None:
    """UTC, unless they say else."""
    assert read_time("30m", NOW) == NOW - 1_800_000 and read_time("7d", NOW) == NOW - 7 * 86_400_000
    noon = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp() * 1000)
    assert read_time("2026-07-01T12:00", NOW) == read_time("2026-07-01T14:00+02:00", NOW) == noon
    for text in ("", "7", "7w", "yesterday"):
        with pytest.raises(ValueError, match="no time"):
            read_time(text, NOW)
