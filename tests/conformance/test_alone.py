"""The black-box tools run by themselves: without the server's code, without the library, out of another folder."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.processes import ServeProcess

ROOT = Path(__file__).parent.parent.parent
# -I: neither this folder nor PYTHONPATH; what must not be imported is made impossible to import
ALONE = """
import runpy, sys
sys.modules.update(fhirstore=None, server=None, tests=None)
sys.path.insert(0, {folder!r})
sys.argv[0] = "conformance"
runpy.run_module("conformance", run_name="__main__")
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a copy of the package, as a wheel would, and nothing else."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(ROOT / "conformance", folder / "conformance", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def base_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`fhirstore serve` on an embedded store."""
    server = ServeProcess({"FHIRSTORE_STORE": f"file:{tmp_path_factory.mktemp('alone-store') / 'data'}"})
    server.start()
    try:
        yield server.base_url
    finally:
        server.stop()


async def conformance(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `python -m conformance …` with the package in `folder`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", ALONE.format(folder=str(folder)), *arguments),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_help_lists_the_commands(alone: Path) -> None:
    """`--help` names each command."""
    code, output = await conformance(alone, "--help")
    assert code == 0, output
    assert {"rest", "openapi", "rates"} <= set(re.findall(r"[a-z]+", output))


async def test_the_rest_suite_runs(alone: Path, base_url: str) -> None:
    """A chapter of the suite is put to a served process, and holds."""
    code, output = await conformance(alone, "rest", base_url, "--only", "reading.")
    assert code == 0, output
    assert "reading" in output


@pytest.mark.slow
async def test_rates_of_any_server_are_measured(alone: Path, base_url: str) -> None:
    """A short round against a base URL, with the yardstick of the same run."""
    code, output = await conformance(alone, "rates", "--url", base_url, "--seconds", "0.1", "--rounds", "1")
    assert code == 0, output
    assert "read / empty GET" in output


def test_the_extra_names_what_is_imported_beyond_the_server() -> None:
    """The wheel packages `conformance`, and the extra of that name has its client and the fuzzer."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "conformance" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    extra = {re.split(r"[<>=]", each)[0] for each in project["project"]["optional-dependencies"]["conformance"]}
    assert extra >= {"httpx", "schemathesis"}
