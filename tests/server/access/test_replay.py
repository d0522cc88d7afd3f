"""Two real server processes on one store: an assertion counts in one of them only, and tokens count in both."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from tests.server.access.signing import ec_key, public
from tests.server.access.smart_clients import Program, form
from tests.server.processes import run_command, served


@pytest.mark.slow
async def test_an_assertion_that_races_to_two_processes_counts_once(tmp_path: Path) -> None:
    """Of eight requests at each of two processes at once with one assertion, one gets a token; both accept it.

    The client is registered, listed and removed by the commands.
    """
    key = ec_key("etl")
    keys = tmp_path / "etl.json"
    keys.write_text(json.dumps(public(key)))
    env = {"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}", "FHIRSTORE_AUTH": "smart", "FHIRSTORE_WORKER": "false"}
    with served(env) as one, served(env) as other:
        bases = [one.base_url, other.base_url]
        added = run_command(env, "client", "add", "etl", "--scope", "system/*.rs", "--jwks", str(keys), "--json")
        assert json.loads(added.stdout) == {"clientId": "default.etl", "tenant": "default", "added": True}, added.stderr
        assert run_command(env, "client", "add", "etl", "--scope", "system/*.rs", "--jwks", str(keys)).returncode == 1
        program = Program("default.etl", key)
        audiences = [f"{base}/auth/token" for base in bases]
        assertion = form(program.assertion(aud=audiences))
        async with httpx.AsyncClient(timeout=60) as client:
            asked = [client.post(f"{base}/auth/token", data=assertion) for _ in range(8) for base in bases]
            answers = await asyncio.gather(*asked)
            good = [answer for answer in answers if answer.status_code == 200]
            assert len(good) == 1, [answer.text for answer in answers]
            headers = {"Authorization": f"Bearer {good[0].json()['access_token']}"}
            for base in bases:
                assert (await client.get(f"{base}/Patient", headers=headers)).status_code == 200
                assert (await client.get(f"{base}/Patient")).status_code == 401
            assert "default.etl" in run_command(env, "client", "list").stdout
            assert run_command(env, "client", "remove", "default.etl").returncode == 0
            assert run_command(env, "client", "remove", "default.etl").returncode == 1
            for base in bases:
                answer = await client.post(f"{base}/auth/token", data=form(program.assertion(aud=audiences)))
                assert answer.status_code in (400, 429)
