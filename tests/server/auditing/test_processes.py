"""What was answered is in the trail after kill -9, where requests wait for their events; and lines show no ids."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

from server.app import create_app
from server.auditing.audit import Audit
from server.observing.access_log import Identities
from server.routes import TABLE
from server.settings import Settings
from tests.server.auditing.audited import KEY, audited, references
from tests.server.processes import run_command, served
from tests.server.serving import FHIR_JSON


class Lines:
    """Stands where a LineWriter does; keeps the lines."""

    lost = 0

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def close(self) -> None:
        pass


@pytest.mark.kill
def test_after_kill_9_every_answered_request_is_in_the_trail(tmp_path: Path) -> None:
    """Of two processes; the chains are whole and open."""
    env = {"FHIRSTORE_STORE": f"file:{tmp_path}/data", "FHIRSTORE_AUDIT": "store", "FHIRSTORE_AUDIT_SYNC": "true"}
    with served(env, "--workers", "2") as server:
        for n in range(30):
            assert httpx.put(f"{server.base_url}/Patient/p{n}", json=_patient(f"p{n}")).status_code == 201
        server.kill()
    events = [json.loads(line) for line in run_command(env, "audit", "--json").stdout.splitlines()]
    written = [reference for event in events for reference in references(event)]
    assert sorted(written) == sorted(f"Patient/p{n}/_history/1" for n in range(30))
    report = json.loads(run_command(env, "audit", "--verify", "--json").stdout)
    assert report["findings"] == [] and report["open"] == report["processes"] <= 2


def _patient(id_: str) -> dict[str, str]:
    return {"resourceType": "Patient", "id": id_}


async def test_lines_are_the_same_events_without_ids() -> None:
    """The keyed hash tells equal ids; what is omitted is left out; each line is short."""
    for how, form in (("hashed", r"~[0-9a-f]{16}(/_history/1)?"), ("omitted", None)):
        async with audited() as one:
            lines = Lines()
            settings = Settings(audit="stdout")
            identities = Identities(how, KEY)
            audit = Audit(one.store, settings, TABLE, identities=identities, lines=lines)  # type: ignore[arg-type]
            transport = httpx.ASGITransport(create_app(one.store, settings, audit=audit))
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                await client.put("/fhir/Patient/zebrafinch", json=_patient("zebrafinch"), headers=FHIR_JSON)
                await client.get("/fhir/Patient/zebrafinch?_summary=true")
                await client.get("/fhir/Patient?_id=zebrafinch")
            await audit.close()
            assert len(lines.lines) == 3 and not await one.events()  # nothing is stored
            for line in lines.lines:
                event = json.loads(line)
                assert event["resourceType"] == "AuditEvent" and len(line) < 4096 and "zebrafinch" not in line
                shown = [e["what"]["reference"] for e in event["entity"] if "reference" in e.get("what", {})]
                assert all(form is not None and re.fullmatch(form, text) for text in shown)
                assert bool(shown) == (form is not None)
