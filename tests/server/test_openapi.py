"""The OpenAPI document is the route table's, and the server does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.routes import TABLE
from server.settings import Settings
from tests.server.processes import served as serve_process
from tests.server.serving import Served, serving


async def test_it_has_every_line_of_the_table_that_is_built_and_advertised(served: Served) -> None:
    """With the same words; and $purge only where it is on."""
    document = (await served.client.get("/openapi.json")).json()
    described = {
        (method.upper(), path.removesuffix("/") if path == "/" else path): operation["summary"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    built = {(r.method, r.path): r.doc for r in TABLE if r.contract is not None and r.advertised(Settings())}
    assert described == built
    assert len({o["operationId"] for p in document["paths"].values() for o in p.values()}) == len(built)
    async with serving(Settings(enable_purge=True)) as other:
        assert "/{type}/{id}/$purge" in (await other.client.get("/openapi.json")).json()["paths"]


async def test_the_paths_of_a_type_have_its_search_parameters(served: Served) -> None:
    """With what each can be asked for; other methods of these paths are there, too."""
    document = (await served.client.get("/openapi.json?type=Patient,Observation")).json()
    assert set(document["paths"]["/Patient"]) == {"get", "post", "put", "patch", "delete"}
    found = {each["name"]: each for each in document["paths"]["/Observation"]["get"]["parameters"]}
    assert {"subject", "code", "value-quantity", "_sort", "_count", "_include", "_format"} <= set(found)
    assert "type" not in found
    assert ":identifier" in found["subject"]["description"] and "Patient" in found["subject"]["description"]
    assert "Observation:subject" in found["_include"]["schema"]["examples"]
    names = [o["operationId"] for p in document["paths"].values() for o in p.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("types", ["Nothing", "Patient,", ",".join(["Patient"] * 21)])
async def test_types_that_are_none_are_refused(served: Served, types: str) -> None:
    """So are too many, which would be a document of megabytes."""
    answer = await served.client.get(f"/openapi.json?type={types}")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "value")


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        (Settings(), "/fhir"),
        (Settings(base_url="https://fhir.example/r4"), "https://fhir.example/r4"),
        (Settings(tenant_source="path"), "/fhir/{tenant}"),
    ],
)
async def test_it_says_where_the_api_is(settings: Settings, url: str) -> None:
    """Also behind a proxy, and with tenants in the path."""
    async with serving(settings) as served:
        assert (await served.client.get("/openapi.json")).json()["servers"][0]["url"] == url


async def test_a_tenant_header_is_asked_for_where_it_is_needed() -> None:
    """As a required parameter of every operation."""
    async with serving(Settings(tenant_source="header", tenants=frozenset({"a"}))) as served:
        for operations in (await served.client.get("/openapi.json")).json()["paths"].values():
            for operation in operations.values():
                assert any(p["name"] == "X-Tenant-ID" and p["required"] for p in operation["parameters"])


@pytest.mark.slow
def test_requests_made_from_it_are_answered_as_it_says(tmp_path: Path) -> None:
    """A short run of `python -m conformance openapi`; ten minutes of it find no more."""
    with serve_process({"FHIRSTORE_STORE": "memory:"}) as server:
        root = server.base_url.removesuffix("/fhir")
        command = [sys.executable, "-m", "conformance", "openapi", root, "--examples", "2"]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, cwd=tmp_path)
    assert run.returncode == 0, run.stdout[-6000:]
