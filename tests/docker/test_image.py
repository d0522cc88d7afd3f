"""docker/Dockerfile builds an image that serves: its steps are run here, in folders instead of a container."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest

from tests.docker.dockerfile import Stage, stages
from tests.docs.pages import ROOT

DOCKERFILE = ROOT / "docker" / "Dockerfile"
_PLACES = ("/src", "/build", "/opt/fhirstore", "/data")  # what the steps name by absolute paths
_SECONDS = 300


def _moved(text: str, top: Path) -> str:
    """The text, its absolute paths below `top`."""
    return re.sub(rf"(?<![\w./-])(?={'|'.join(_PLACES)})", str(top), text)


def _run(script: str, env: dict[str, str], cwd: Path) -> None:
    done = subprocess.run(["sh", "-ec", script], env=env, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS)  # noqa: PLW1510
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def _copy(words: list[str], top: Path) -> None:
    """COPY from the context, which .dockerignore bounds."""
    *sources, target = words
    into = Path(_moved(target, top))
    for source in sources:
        assert _in_context(source), f".dockerignore leaves {source} out"
        there = into / source if target.endswith("/") else into
        there.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, there, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / source, there)


def _in_context(path: str) -> bool:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    admitted = False
    for line in lines:
        pattern = line.removeprefix("!")
        if pattern in ("*", path) or fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
            admitted = line.startswith("!")
    return admitted


def _built(build: Stage, top: Path) -> None:
    """Runs the stage as Docker would."""
    python = Path(sys.base_prefix) / "bin"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FHIRSTORE_", "PYTHON"))}
    env = {**kept, **build.environment(), "PATH": f"{python}:{os.environ['PATH']}"}
    for each in build.instructions:
        if each.name == "COPY":
            _copy(each.words, top)
        elif each.name == "RUN":
            _run(_moved(each.text, top), env, top)
        else:
            assert each.name == "ENV"


def _files(top: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(top.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_the_steps_of_the_image_make_a_server_that_is_ready(tmp_path: Path) -> None:
    """Built from the lock files with hashes; CMD serves, HEALTHCHECK tells, and only /data and /tmp change."""
    build, image = stages(DOCKERFILE)
    _built(build, tmp_path)
    for each in image.all("COPY"):  # nothing but what the first stage made, and at the same path, as a venv needs it
        origin, source, target = each.words
        assert (origin, source) == (f"--from={build.name}", target)
    installed = tmp_path / "opt/fhirstore"
    assert not list(installed.glob("lib/python*/site-packages/pip"))
    assert list(installed.glob("lib/python*/site-packages/server/__pycache__/cli.*.pyc"))
    (tmp_path / "data").mkdir()
    (tmp_path / "tmp").mkdir()
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    env = {name: _moved(value, tmp_path) for name, value in image.environment().items()}
    assert env["HOST"] == "0.0.0.0"  # noqa: S104 - what the image says; this run listens on loopback only
    env |= {"HOST": "127.0.0.1", "PORT": str(port), "TMPDIR": str(tmp_path / "tmp")}
    before = _files(installed)
    command = [*image.one("ENTRYPOINT").words, *image.one("CMD").words]
    program = str(installed / "bin" / command[0])
    health = [_moved(word, tmp_path) for word in _health(image)]
    server = subprocess.Popen([program, *command[1:]], env=env, cwd=tmp_path / "data", stdout=subprocess.DEVNULL)
    try:
        assert _until_healthy(health, env, server)
        base = f"http://127.0.0.1:{port}/fhir"
        made = httpx.post(f"{base}/Patient", json={"resourceType": "Patient"}, timeout=60)
        assert made.status_code == 201
        assert httpx.get(f"{base}/Patient/{made.json()['id']}", timeout=60).json() == made.json()
        server.send_signal(getattr(signal, image.one("STOPSIGNAL").text))
        assert server.wait(60) == 0
        assert subprocess.run(health, env=env, capture_output=True, check=False).returncode == 1  # it is down
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
    assert _files(installed) == before  # so the root may be read-only
    assert any((tmp_path / "data").iterdir())


def _health(image: Stage) -> list[str]:
    text = image.one("HEALTHCHECK").text
    words = type(image.one("CMD"))("CMD", text[text.index("CMD") + 3 :].strip()).words
    return [sys.executable if words[0] == "python" else words[0], *words[1:]]


def _until_healthy(health: list[str], env: dict[str, str], server: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        if subprocess.run(health, env=env, capture_output=True, check=False).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def test_the_image_runs_without_rights_and_without_tools() -> None:
    """A user with a fixed id, never root; no package manager is used in the last stage, and pip is taken out."""
    build, image = stages(DOCKERFILE)
    assert build.base == image.base and image.base.endswith("-slim") and "/" not in image.base
    assert image.one("USER").text == "10001:10001"
    system = image.one("RUN").text
    assert "--uid 10001" in system and "rm -rf" in system and "site-packages/pip*" in system
    assert not re.search(r"\b(apt|apt-get|pip install|curl|wget|gcc)\b", system)
    assert image.one("VOLUME").text == "/data"
    environment = image.environment()
    assert environment["FHIRSTORE_STORE"] == "file:/data" and environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_everything_in_the_image_is_pinned_by_hash() -> None:
    """Each pip step demands hashes, or installs what was built here without an index; build tools are pinned too."""
    build, _ = stages(DOCKERFILE)
    steps = [step for each in build.all("RUN") for step in each.text.split("&&")]
    installing = [step for step in steps if " pip " in step and " install " in step]
    assert len(installing) == 3
    assert all("--require-hashes" in step or "--no-index --" in re.sub(r"\s+", " ", step) for step in installing)
    assert all("--no-build-isolation" in step for step in steps if " wheel " in step)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    pinned = re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / "docker" / "build.lock").read_text(), re.MULTILINE)
    assert set(wanted) <= set(pinned)
