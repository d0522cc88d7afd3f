"""The examples of README and docs/ are run: curl against a real server, Python in a process of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, fences
from tests.server.processes import served

_CHANGING = (
    (re.compile(r"http://127\.0\.0\.1:\d+"), "ROOT"),
    (re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b"), "ULID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "INSTANT"),
)
_WITH_SERVER = {"access.md"}  # test_access.py runs its examples
_SNIPPETS = [
    pytest.param(fence.text, id=f"{page.name}-{number}")
    for page in PAGES
    for number, fence in enumerate(fences(page))
    if fence.language == "python" and "asyncio.run" in fence.text and page.name not in _WITH_SERVER
]


def _comparable(text: str) -> str:
    for pattern, name in _CHANGING:
        text = pattern.sub(name, text)
    return text.strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_requests_of_readme_are_answered_as_it_says(tmp_path: Path) -> None:
    """Every console line of README gives the answer below it, but for ids and times."""
    (block,) = [fence.text for fence in fences(ROOT / "README.md") if fence.language == "console"]
    steps = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    assert len(steps) == 6
    with served({"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}"}) as server:
        setup = steps[0][0].replace("http://127.0.0.1:8000/fhir", server.base_url)
        for command, answer in steps[1:]:
            done = subprocess.run(
                ["bash", "-c", f"{setup}\n{command}"], capture_output=True, text=True, check=True, timeout=60
            )
            assert _comparable(done.stdout) == _comparable(answer), command


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_requests_of_the_page_about_binaries_are_created(tmp_path: Path) -> None:
    """Its curl lines, with files of these names, are answered 201."""
    (block,) = [fence.text for fence in fences(ROOT / "docs" / "binary.md") if fence.language == "bash"]
    for name in ("report.pdf", "scan.png"):
        (tmp_path / name).write_bytes(bytes(range(256)) * 8_000)
    with served({"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}"}) as server:
        lines = block.replace("http://127.0.0.1:8000/fhir", server.base_url).strip().splitlines()
        assert len(lines) == 2
        for line in lines:
            command = ["bash", "-c", f"{line} -s -o answer -w '%{{http_code}}'"]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
            assert done.stdout == "201"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_requests_of_the_page_about_search_are_answered(tmp_path: Path) -> None:
    """Its curl lines, as they stand, get a searchset; so does its own parameter, once it is indexed."""
    searches, own = [fence.text for fence in fences(ROOT / "docs" / "search.md") if fence.language == "bash"]
    with served({"FHIRSTORE_STORE": f"file:{tmp_path / 'data'}"}) as server:

        def answer(command: str) -> str:
            command = command.replace("http://127.0.0.1:8000/fhir", server.base_url)
            return subprocess.run(
                ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
            ).stdout

        lines = searches.strip().splitlines()
        assert len(lines) == 5
        for line in lines:
            assert '"type":"searchset"' in answer(line), line
        put, search = own.strip().rsplit("\n", 1)
        assert '"code":"eye-colour"' in answer(put)
        deadline = time.monotonic() + 60
        while '"type":"searchset"' not in (answered := answer(search)):
            assert "is being indexed" in answered
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.parametrize("snippet", _SNIPPETS)
def test_each_python_example_runs(snippet: str, tmp_path: Path) -> None:
    """A Python example with a main function runs as it stands, in an empty folder."""
    command = [sys.executable, "-c", snippet]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
