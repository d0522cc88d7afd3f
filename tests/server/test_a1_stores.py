"""A1: the environment alone chooses the store; the server's code knows none of them."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from conformance.s3servers import REGION, S3Server
from server.app import create_app
from server.process.deployment import open_store
from server.settings.environment import from_environment
from tests.docs.pages import ROOT


@pytest.mark.parametrize("kind", ["memory", "embedded", "ministack"])
async def test_a1_the_environment_alone_chooses_the_store(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same app reads and writes on each; of S3 it is told endpoint, region and credentials by variables."""
    env = {"FHIRSTORE_STORE": "memory:" if kind == "memory" else f"file:{tmp_path / 'data'}"}
    if kind == "ministack":
        s3: S3Server = request.getfixturevalue(kind)
        s3.use(monkeypatch)
        env = {"FHIRSTORE_STORE": s3.location(), "FHIRSTORE_S3_ENDPOINT_URL": s3.endpoint_url or ""}
        env |= {"FHIRSTORE_S3_ALLOW_HTTP": "true", "AWS_REGION": REGION}
    settings = from_environment(env)
    async with open_store(settings, create=True) as store:
        transport = httpx.ASGITransport(create_app(store, settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            made = await client.post("/fhir/Patient", json={"resourceType": "Patient", "active": True})
            assert made.status_code == 201
            assert (await client.get(f"/fhir/Patient/{made.json()['id']}")).json() == made.json()


def test_a1_the_server_names_no_kind_of_store() -> None:
    """No module of the server imports a vendor's client or one of the stores."""
    vendors = re.compile(r"^\s*(?:import|from) (?:aiobotocore|botocore|boto3|obstore|sqlite3|minio)\b", re.MULTILINE)
    stores = re.compile(r"\b(?:S3Store|EmbeddedStore|MemoryStore)\b")
    for path in (ROOT / "server").rglob("*.py"):
        text = path.read_text()
        assert not vendors.search(text) and not stores.search(text), path
