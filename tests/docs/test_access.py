"""The page about access is followed by a new user: register a program, get a token, read with it."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from joserfc.jwk import ECKey

from tests.docs.pages import ROOT, fences
from tests.server.access.signing import ec_key, public
from tests.server.processes import run_command, served


async def test_a_program_gets_a_token_as_the_page_says(tmp_path: Path) -> None:
    """The command, the Python example and the file of clients, as they stand."""
    page = ROOT / "docs" / "access.md"
    (example,) = [fence.text for fence in fences(page) if fence.language == "python"]
    (configuration,) = [fence.text for fence in fences(page) if fence.language == "json"]
    (command,) = [fence.text for fence in fences(page) if "fhirstore client add" in fence.text]
    key: ECKey = ec_key("etl")
    keys = tmp_path / "etl.public.json"
    keys.write_text(json.dumps(public(key)))
    clients = tmp_path / "clients.json"
    clients.write_text(configuration)
    env = {"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}", "FHIRSTORE_AUTH": "smart", "FHIRSTORE_CLIENTS": str(clients)}
    with served(env) as server:
        words = command.replace("etl.public.json", str(keys)).replace('"', "").split()[1:]
        assert run_command(env, *words).stdout.strip() == "default.etl"
        known: dict[str, object] = {}
        exec(example, known)  # noqa: S102 - the page's own code
        known["BASE"] = server.base_url
        token = await known["token"](key, "default.etl", "system/Patient.rs")  # type: ignore[operator] # a coroutine
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
            assert (await client.get(f"{server.base_url}/Patient")).status_code == 200
            assert (await client.get(f"{server.base_url}/Observation")).status_code == 403
        assert '"etl"' in run_command(env, "client", "list", "--json").stdout
