"""docker/compose.yaml, `up`: its commands are run here with its variables, one after another, on a real S3 server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped] # its stubs are not installed

from conformance.s3servers import S3Server
from tests.docker.dockerfile import stages
from tests.docs.pages import ROOT
from tests.server.processes import run_command, served

SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())["services"]
OURS = ("bucket", "server", "worker")


def _environment(name: str, s3: S3Server) -> dict[str, str]:
    """The variables of a service; the addresses are those of this run, and so are the keys."""
    env = {**stages(ROOT / "docker" / "Dockerfile")[-1].environment(), **SERVICES[name]["environment"]}
    assert env["FHIRSTORE_S3_ENDPOINT_URL"] == "http://minio:9000"
    assert env["AWS_ACCESS_KEY_ID"] == SERVICES["minio"]["environment"]["MINIO_ROOT_USER"]
    here = {**s3.environment(), "FHIRSTORE_S3_ENDPOINT_URL": s3.endpoint_url or "", "HOST": "127.0.0.1", "PORT": "0"}
    return {name: value for name, value in (env | here).items() if name != "PATH"}


def test_a3_compose_gives_a_served_bucket(ministack: S3Server) -> None:
    """The bucket is made, also a second time; the server serves it, and the worker works on it until its end."""
    for _ in range(2):
        made = run_command(_environment("bucket", ministack), *SERVICES["bucket"]["command"])
        assert made.returncode == 0, made.stderr
    with served(_environment("server", ministack)) as server:
        assert SERVICES["server"]["command"] == ["serve"]
        base = server.base_url
        assert httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}, timeout=30).status_code == 201
        program = str(Path(sys.executable).with_name("fhirstore"))
        environment = _environment("worker", ministack)
        worker = subprocess.Popen(
            [program, *SERVICES["worker"]["command"]], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            assert worker.stderr and "working" in worker.stderr.readline()
        finally:
            worker.terminate()
            assert worker.wait(30) == 0


def test_each_service_waits_for_what_it_needs_and_has_no_rights() -> None:
    """Conditions on health and completion; read-only roots, no capabilities, bounded memory, ports on loopback only."""
    for name, service in SERVICES.items():
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["mem_limit"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other == "bucket" else "service_healthy"
            assert how == {"condition": wanted}, name
            assert other == "bucket" or "disable" not in SERVICES[other].get("healthcheck", {})
    assert all(SERVICES[name]["build"]["dockerfile"] == "docker/Dockerfile" for name in OURS)
    assert (ROOT / "docker" / SERVICES["server"]["build"]["context"]).resolve() == ROOT
