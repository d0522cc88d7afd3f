"""smart-fetch exports with SMART Backend Services, as it comes, from a server that lets nobody in without a token."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from server.settings import Settings
from tests.clients.test_smart_fetch import fetched, smart_fetch
from tests.server.access.signing import AnyKey, ec_key, public, rsa_key
from tests.server.access.smart_clients import Program, token_of
from tests.server.export.exporting import listening


def _configuration(folder: Path, reader: AnyKey, writer: AnyKey) -> str:
    """A file of two clients: one that may read Patients and Conditions, and one that may write."""
    path = folder / "clients.json"
    clients = [
        {
            "id": "cumulus",
            "tenant": "default",
            "scopes": ["system/Patient.read", "system/Condition.read"],
            "jwks": public(reader),
        },
        {"id": "writer", "tenant": "default", "scopes": ["system/*.cruds"], "jwks": public(writer)},
    ]
    path.write_text(json.dumps({"clients": clients}))
    return str(path)


@pytest.mark.parametrize("kind", ["ES384", "RS384"])
async def test_it_exports_what_its_client_may_read(tmp_path: Path, kind: str) -> None:
    """It finds the token endpoint, signs an assertion, and gets the types that it is registered for, and no other."""
    reader = ec_key("reader") if kind == "ES384" else rsa_key("reader")
    writer = ec_key("writer")
    settings = Settings(auth="smart", clients=_configuration(tmp_path, reader, writer))
    key = tmp_path / "key.jwks"
    key.write_text(json.dumps({"keys": [{**reader.as_dict(private=True), "alg": kind, "key_ops": ["sign"]}]}))
    async with listening(settings) as base:
        program = Program("writer", writer, f"{base}/auth/token")
        async with httpx.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {await token_of(client, program)}"}
            subject = {"reference": "Patient/a"}
            for resource in (
                {"resourceType": "Patient", "id": "a"},
                {"resourceType": "Condition", "id": "c", "subject": subject},
                {"resourceType": "Procedure", "id": "p", "status": "completed", "subject": subject},
            ):
                url = f"{base}/{resource['resourceType']}/{resource['id']}"
                answer = await client.put(url, json=resource, headers=headers)
                assert answer.status_code == 201, answer.text
            assert (await client.get(f"{base}/$export", headers={"Prefer": "respond-async"})).status_code == 401
        where = ("--fhir-url", base, "--smart-client-id", "cumulus", "--smart-key", key)
        await smart_fetch("bulk", tmp_path / "out", *where, "--type", "Patient,Condition")
        assert fetched(tmp_path / "out") == {"Patient": {"a"}, "Condition": {"c"}}
