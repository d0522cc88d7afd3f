"""`fhirstore load` and `fhirstore export` get in with FHIRSTORE_TOKEN where nobody does without."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx

from server.settings import Settings
from tests.server.access.signing import ec_key, public
from tests.server.access.smart_clients import Program, token_of
from tests.server.export.exporting import listening
from tests.server.processes import run_command

SCOPES = {"writer": ["system/*.cruds"], "reader": ["system/Patient.rs", "system/Group.rs"], "single": ["system/*.r"]}


async def _run(token: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`fhirstore …`; the token is in nothing that it says."""
    done = await asyncio.to_thread(run_command, {"FHIRSTORE_TOKEN": token}, *map(str, arguments))
    assert not token or token not in done.stdout + done.stderr
    return done


async def test_load_and_export_send_the_token_of_the_environment(tmp_path: Path) -> None:
    """Refused without one; with one, an export has the types that it grants, and one that grants none says so."""
    keys = {name: ec_key(name) for name in SCOPES}
    clients = [
        {"id": name, "tenant": "default", "scopes": scopes, "jwks": public(keys[name])}
        for name, scopes in SCOPES.items()
    ]
    (tmp_path / "clients.json").write_text(json.dumps({"clients": clients}))
    subject = {"reference": "Patient/a"}
    observation = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    resources = [{"resourceType": "Patient", "id": "a"}, {**observation, "subject": subject}]
    data = tmp_path / "data.ndjson"
    data.write_text("".join(f"{json.dumps(each)}\n" for each in resources))
    async with listening(Settings(auth="smart", clients=str(tmp_path / "clients.json"))) as base:
        async with httpx.AsyncClient() as http:
            tokens = {
                name: await token_of(http, Program(name, key, f"{base}/auth/token")) for name, key in keys.items()
            }
        refused, loaded = await asyncio.gather(
            _run("", "load", data, "--url", base), _run(tokens["writer"], "load", data, "--url", base)
        )
        assert (refused.returncode, loaded.returncode) == (1, 0), (refused.stdout, loaded.stderr)
        assert "401" in refused.stdout
        nobody, reader, single = await asyncio.gather(
            *(
                _run(token, "export", "--out", tmp_path / name, "--url", base)
                for name, token in (("nobody", ""), ("all", tokens["reader"]), ("none", tokens["single"]))
            )
        )
    assert (nobody.returncode, reader.returncode, single.returncode) == (1, 0, 1), (reader.stdout, reader.stderr)
    assert "needs an access token" in nobody.stdout
    assert "r and s" in single.stdout
    assert {path.name.split(".")[0] for path in (tmp_path / "all").glob("*.ndjson")} == {"Patient"}
