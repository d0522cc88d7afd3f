"""What `fhirstore submit` takes, and what it refuses before anything is written."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server.commands.outcomes import Issue
from server.commands.submit.order import CannotSubmit, base_of, look_up, made_manifests, order_of, pages_of
from server.commands.submit.outcomes import read_outcomes
from server.commands.submit.progress import Reach
from server.commands.submit.summary import SHOWN, SubmitSummary

LINE = b'{"resourceType":"Patient","id":"p"}\n'


def folder_of(tmp_path: Path, *names: str) -> Path:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(LINE) if name.endswith(".gz") else LINE)
    return tmp_path


def test_a_folder_is_what_an_export_left_in_it(tmp_path: Path) -> None:
    """Files of deletions come last and as such; messages, hidden files and others are left out."""
    names = (
        "deleted/Bundle.001.ndjson",
        "error/x.ndjson",
        ".git/Patient.ndjson",
        "a.txt",
        "Patient.001.ndjson",
        "b/c.ndjson.gz",
    )
    inputs = look_up(order_of([str(folder_of(tmp_path, *names))]))
    found = [(one.url.removeprefix(tmp_path.as_uri()), one.type, one.deleted) for one in inputs.listed]
    assert found == [
        ("/Patient.001.ndjson", "Patient", False),
        ("/b/c.ndjson.gz", None, False),
        ("/deleted/Bundle.001.ndjson", None, True),
    ]


def test_a_manifest_of_many_files_has_pages(tmp_path: Path) -> None:
    """Every file is on one page, and each page but the last leads to the next."""
    (one,) = look_up(order_of([str(folder_of(tmp_path, "Patient.ndjson"))])).listed
    listed = [one] * 12_000
    assert list(pages_of(listed)) == [1, 2, 3]
    made = made_manifests(listed, [str(n) for n in range(12_000)], ["u:1", "u:2", "u:3"])
    pages = [json.loads(body) for body in made.values()]
    assert [item["url"] for page in pages for item in page["output"]] == [str(n) for n in range(12_000)]
    assert [page.get("link", [{}])[0].get("url") for page in pages] == ["u:2", "u:3", None]


def test_equal_orders_have_equal_names_and_others_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name the same command finds its job again."""
    monkeypatch.chdir(tmp_path)
    letters = order_of(["a"]).letters
    assert letters == order_of([str(tmp_path / "a")]).letters and letters.isalpha() and len(letters) == 14
    assert letters not in (order_of(["b"]).letters, order_of(["a"], mode="replace").letters)


def test_where_no_base_is_given_it_is_the_folder(tmp_path: Path) -> None:
    """Of the first name, a path or a URL."""
    path = folder_of(tmp_path, "a.ndjson")
    assert base_of(order_of([str(path / "a.ndjson")])) == base_of(order_of([str(path)])) == path.as_uri()
    assert base_of(order_of(["https://x.example.org/f/m?t=1"])) == "https://x.example.org/f"


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("no/such", None, "no such file"),
        ("empty", "folder", "holds no file"),
        ("a.csv", "x", "must end in"),
        ("bundle.json", '{"resourceType":"Bundle"}', "not a Bulk Data manifest"),
        ("m.json", "{nonsense", "not a Bulk Data manifest"),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused(tmp_path: Path, name: str, body: str | None, told: str) -> None:
    """With what to do instead, before anything is written."""
    path = tmp_path / name
    if body == "folder":
        path.mkdir()
    elif body is not None:
        path.write_text(body)
    with pytest.raises(CannotSubmit, match=told):
        look_up(order_of([str(path)]))


@pytest.mark.parametrize(
    "more", [{"mode": "upsert"}, {"ids": "new"}, {"submitter": "nobody"}, {"submitter": "x|"}], ids=str
)
def test_a_value_that_cannot_be_meant_is_refused(more: dict[str, str]) -> None:
    """By the name of the option."""
    with pytest.raises(CannotSubmit, match=f"--{next(iter(more))}"):
        order_of(["a"], **more)
    with pytest.raises(CannotSubmit, match="password"):
        order_of(["https://me:secret@x.example.org/m"])


def test_a_compressed_file_counts_when_it_is_done() -> None:
    """Its size is of what is stored, the position of what is read."""
    reach = Reach({"f:a": 100, "f:b.gz": 10, "f:c": 50})
    assert [reach.at(*at) for at in (("f:a", 40), ("f:b.gz", 999), ("f:c", 1), ("f:d", 1))] == [40, 100, 111, None]


async def test_outcomes_are_read_in_bounded_memory() -> None:
    """A line without end counts as one unreadable line, and the lines around it as they are."""
    good = b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"value","diagnostics":"no"}]}\n'

    async def chunks() -> AsyncIterator[bytes]:
        yield good + good[:10]
        yield good[10:]
        for _ in range(40):
            yield b"x" * (1 << 16)
        yield b"\n" + good

    summary = SubmitSummary("t", "s|v", "1")
    await read_outcomes(summary, chunks(), told=None)
    assert summary.severities == {"error": 4}
    assert [one.text for one in summary.problems].count("no") == 3


async def test_what_the_server_counted_is_not_read_beyond_what_is_shown() -> None:
    """The counts are the server's own."""
    read = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b'{"issue":[{"severity":"error","code":"value","diagnostics":"no"}]}\n'

    summary = SubmitSummary("t", "s|v", "1")
    await read_outcomes(summary, chunks(), told={"error": 1000})
    assert summary.severities == {"error": 1000} and read == len(summary.problems) == SHOWN
    summary.show(Issue("warning", "conflict"))
    assert len(summary.problems) == SHOWN


def test_the_help_names_what_a_user_needs() -> None:
    """The options, how to go on, and the variable of the token."""
    command = [str(Path(sys.executable).with_name("fhirstore")), "submit", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "200"}).stdout
    for word in ("--url", "--mode", "--ids", "--serve", "--stop", "--json", "FHIRSTORE_SUBMIT_TOKEN", "goes on"):
        assert word in told
