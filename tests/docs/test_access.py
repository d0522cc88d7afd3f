"""The page about access is followed by a new user: make a key, register a program, get a token, read with it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import httpx
from joserfc.jwk import ECKey

from tests.docs.pages import ROOT, fences
from tests.server.processes import run_command, served


async def _python(folder: Path, name: str, text: str) -> str:
    """Writes an example to a file, runs it in its folder, and returns what it prints."""
    (folder / name).write_text(text)
    child = await asyncio.create_subprocess_exec(sys.executable, name, cwd=folder, stdout=asyncio.subprocess.PIPE)
    printed, _ = await child.communicate()
    assert child.returncode == 0, name
    return printed.decode().strip()


async def test_a_program_gets_a_token_as_the_page_says(tmp_path: Path) -> None:
    """The key, the command, the Python example and the file of clients, as they stand."""
    page = ROOT / "docs" / "access.md"
    make_key, example = [fence.text for fence in fences(page) if fence.language == "python"]
    (configuration,) = [fence.text for fence in fences(page) if fence.language == "json"]
    (command,) = [fence.text for fence in fences(page) if "fhirstore client add" in fence.text]
    await _python(tmp_path, "make_key.py", make_key)
    assert (tmp_path / "etl.private.json").stat().st_mode & 0o077 == 0
    clients = tmp_path / "clients.json"
    clients.write_text(configuration)
    env = {"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}", "FHIRSTORE_AUTH": "smart", "FHIRSTORE_CLIENTS": str(clients)}
    with served(env) as server:
        words = command.replace("etl.public.json", str(tmp_path / "etl.public.json")).replace('"', "").split()[1:]
        assert run_command(env, *words).stdout.strip() == "default.etl"
        example = example.replace("http://127.0.0.1:8000/fhir", server.base_url)
        printed = await _python(tmp_path, "get_token.py", example)
        known: dict[str, object] = {}
        exec(example, known)  # noqa: S102 - the page's own code
        key = ECKey.import_key(json.loads((tmp_path / "etl.private.json").read_text()))
        token = await known["token"](key, "default.etl", "system/Patient.rs")  # type: ignore[operator] # a coroutine
        for each, status in ((printed, 200), (token, 403)):
            async with httpx.AsyncClient(headers={"Authorization": f"Bearer {each}"}) as client:
                assert (await client.get(f"{server.base_url}/Patient")).status_code == 200
                assert (await client.get(f"{server.base_url}/Observation")).status_code == status
        assert '"etl"' in run_command(env, "client", "list", "--json").stdout
