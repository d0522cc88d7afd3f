"""Downloads are gone on with where they were cut, checked, and only then get their names."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from aiohttp import web

from server.commands.export import CannotExport, Order
from server.commands.export import checking as checking_module
from server.commands.export import downloading as downloading_module
from server.commands.export.checking import Damaged, examine, part_of
from server.commands.export.journal import NAME, Begun, Journal, Started
from server.commands.export.order import check
from tests.server.export_command.scripted import SWIFT, BulkServer, bulk_server, ndjson, outcome, run, until

LINES = 5_000  # 400 KB


def ranges(server: BulkServer, name: str) -> list[str | None]:
    """The Range of each request for a file."""
    return [got.headers.get("Range") for got in server.served(name)]


# --- cuts ---------------------------------------------------------------------------------------------------


async def test_a_cut_download_goes_on_where_it_was_cut(server: BulkServer, tmp_path: Path) -> None:
    """However often, as long as it gets on; with Range, and If-Range for the same bytes."""
    file = server.add("Patient.a", LINES, cuts=[30_000] * 9)
    server.pages = [server.manifest("Patient.a")]
    summary = await run(server, tmp_path)
    assert (summary.ok, summary.retries) == (True, 9)
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body
    got = server.served("Patient.a")
    assert ranges(server, "Patient.a")[1:] == [f"bytes={30_000 * n}-" for n in range(1, 10)]
    assert {each.headers["If-Range"] for each in got[1:]} == {file.validator(file.body)}


async def test_compressed_bytes_are_gone_on_with_too(server: BulkServer, tmp_path: Path) -> None:
    """A range is one of the compressed bytes; the file is unpacked at the end, and nothing else stays."""
    body = b"".join(b'{"x":"%032x"}\n' % random.getrandbits(128) for _ in range(20_000))
    server.add("Patient.a", body, zipped=True, cuts=[50_000, 70_000])
    server.pages = [server.manifest("Patient.a")]
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == body
    assert ranges(server, "Patient.a") == [None, "bytes=50000-", "bytes=120000-"]
    assert {got.headers["Accept-Encoding"] for got in server.served("Patient.a")} == {"gzip"}
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "SHA256SUMS", "Patient.001.ndjson"}


async def test_compressed_bytes_without_ranges_are_not_asked_for_again(server: BulkServer, tmp_path: Path) -> None:
    """A server that compresses as it sends begins anew each time: the bytes as they are can be gone on with."""
    file = server.add("Patient.a", LINES, zipped=True, zipped_ranges=False, cuts=[2_000, 2_000, 100_000, 100_000])
    server.pages = [server.manifest("Patient.a")]
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body
    assert ranges(server, "Patient.a") == [None, "bytes=2000-", None, "bytes=100000-", "bytes=200000-"]
    assert [got.headers["Accept-Encoding"] for got in server.served("Patient.a")] == ["gzip"] * 2 + ["identity"] * 3


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
async def test_bytes_without_a_strong_name_begin_anew(server: BulkServer, tmp_path: Path, etag: str | None) -> None:
    """Two halves of different bytes are never joined. Compression on the way is done without then."""
    file = server.add("Patient.a", LINES, etag=etag, zipped=True, cuts=[2_000, 20_000])
    server.pages = [server.manifest("Patient.a")]
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body
    assert ranges(server, "Patient.a") == [None] * 3
    assert [got.headers["Accept-Encoding"] for got in server.served("Patient.a")] == ["gzip", "identity", "identity"]


async def test_a_download_that_never_gets_on_fails(server: BulkServer, tmp_path: Path) -> None:
    """The others do not wait for it; and the next command tries again."""
    server.add("Patient.a", LINES, etag=None, cuts=[1_000] * SWIFT.attempts)
    server.add("Patient.b", 3)
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    summary = await run(server, tmp_path)
    assert (summary.status, summary.failed, summary.sections["output"]["Patient"].files) == ("incomplete", 1, 1)
    assert "the connection failed" in summary.failures[0][1]
    assert not (tmp_path / "Patient.001.ndjson").exists()
    assert (await run(server, tmp_path)).ok
    assert len(server.served("Patient.b")) == 1


async def test_a_file_that_changed_meanwhile_is_fetched_anew(server: BulkServer, tmp_path: Path) -> None:
    """If-Range: the server sends the new one whole."""
    file = server.add("Patient.a", LINES, cuts=[30_000])
    later = ndjson("Patient", LINES).replace(b"y", b"z")

    def change(response: object) -> None:
        file.body = later if not file.cuts else file.body

    server.pages = [server.manifest("Patient.a")]
    await run_with(server, tmp_path, change)
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == later


async def run_with(server: BulkServer, folder: Path, change: Callable[[object], None]) -> None:
    """Exports; each progress calls `change`."""
    assert (await run(server, folder, on_progress=change)).ok


@pytest.mark.parametrize("wrong", ["start", "etag", "encoding", "none"])
async def test_another_range_than_was_asked_for_is_not_taken(server: BulkServer, tmp_path: Path, wrong: str) -> None:
    """A server that answers 206 with other bytes would spoil the file."""
    file = server.add("Patient.a", LINES, cuts=[30_000])
    server.pages = [server.manifest() | {"output": [server.item("Patient.a", count=None)]}]  # nothing else would tell
    total = len(file.body)
    headers = {
        "Content-Range": f"bytes {29_999 if wrong == 'start' else 30_000}-{total - 1}/{total}",
        "ETag": '"other"' if wrong == "etag" else file.validator(file.body) or "",
    } | ({"Content-Encoding": "gzip"} if wrong == "encoding" else {})
    if wrong == "none":
        del headers["Content-Range"]

    def script(_: object) -> None:
        if len(server.served("Patient.a")) == 1 and not file.answers and not file.cuts:
            file.answers.append(web.Response(status=206, body=b"?" * (total - 30_000), headers=headers))

    await run_with(server, tmp_path, script)
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body
    assert ranges(server, "Patient.a") == [None, "bytes=30000-", None]


async def test_a_busy_file_server_is_asked_again(server: BulkServer, tmp_path: Path) -> None:
    """429, 500 and 503 are passing; 403 is not."""
    server.add("Patient.a", 3, answers=[web.Response(status=status) for status in (429, 500, 503)])
    server.add("Patient.b", 3, answers=[outcome(403, "no") for _ in range(2)])
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    summary = await run(server, tmp_path)
    assert summary.failures == [("Patient.002.ndjson", f"{server.url}/files/Patient.b was answered 403")]
    assert (tmp_path / "Patient.001.ndjson").exists()


async def test_expired_links_are_asked_for_again(server: BulkServer, tmp_path: Path) -> None:
    """The manifest has new ones, once for all files that need it."""
    for name in ("Patient.a", "Patient.b", "Patient.new-a", "Patient.new-b"):
        server.add(name, 3)
    gone = [outcome(403, "Request has expired")]
    server.files["Patient.a"].answers, server.files["Patient.b"].answers = list(gone), [outcome(403, "expired")]
    server.pages = [server.manifest("Patient.new-a", "Patient.new-b")]
    server.polls = [web.json_response(server.manifest("Patient.a", "Patient.b"))]
    summary = await run(server, tmp_path)
    assert summary.ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == server.files["Patient.new-a"].body
    assert len(server.asked("GET", "/status/0")) == 2


# --- checks -------------------------------------------------------------------------------------------------


async def test_a_count_that_is_wrong_twice_fails_the_file(server: BulkServer, tmp_path: Path) -> None:
    """It is fetched once more, in case that it was damaged on the way, and never gets its name."""
    server.add("Patient.a", 3)
    server.pages = [server.manifest() | {"output": [server.item("Patient.a", count=4)]}]
    summary = await run(server, tmp_path)
    assert summary.failures == [("Patient.001.ndjson", "it has 3 lines; the manifest says 4")]
    assert len(server.served("Patient.a")) == 2
    assert not (tmp_path / "Patient.001.ndjson").exists()


async def test_a_size_may_be_that_before_or_after_compression(server: BulkServer, tmp_path: Path) -> None:
    """The guide does not say which; another one fails the file."""
    body = ndjson("Patient", 100)
    sizes = {"a": len(body), "b": len(gzip.compress(body, mtime=0)), "c": len(body) + 1}
    items = []
    for name, size in sizes.items():
        server.add(f"Patient.{name}", body, zipped=True)
        items.append(server.item(f"Patient.{name}", fileSize=size))
    server.pages = [server.manifest() | {"output": items}]
    summary = await run(server, tmp_path)
    assert [name for name, _ in summary.failures] == ["Patient.003.ndjson"]


async def test_damaged_compression_is_fetched_once_more(server: BulkServer, tmp_path: Path) -> None:
    """What cannot be unpacked, or ends too early, is not the file."""
    whole = gzip.compress(ndjson("Patient", 100))
    for name, bad in (("a", b"no gzip"), ("b", whole[:-9])):
        answers = [web.Response(body=bad, headers={"Content-Encoding": "gzip", "ETag": '"bad"'})]
        server.add(f"Patient.{name}", 100, answers=answers)
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    assert (await run(server, tmp_path)).ok


async def test_an_encoding_nobody_asked_for_fails_the_file(server: BulkServer, tmp_path: Path) -> None:
    """It is not stored as if it were NDJSON."""
    server.add("Patient.a", 3, answers=[web.Response(body=b"x", headers={"Content-Encoding": "br"})])
    server.pages = [server.manifest("Patient.a")]
    summary = await run(server, tmp_path)
    assert summary.failures == [("Patient.001.ndjson", "it comes in the encoding br, which was not asked for")]


@pytest.mark.parametrize(
    ("body", "count"),
    [(b"", 0), (b"{}", 1), (b"{}\n", 1), (b"{}\n\n \n{}\r\n\n", 2), (b"\n" * 9, 0), (b"{}\n" * 700_000, 700_000)],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_lines_are_counted_whatever_is_between_them(tmp_path: Path, body: bytes, count: int, zipped: bool) -> None:
    """Blank lines are none; the last one may lack its end; pieces of a megabyte are no boundaries."""
    path = tmp_path / "x"
    part_of(path).write_bytes(gzip.compress(body) if zipped else body)
    facts = examine(path, "gzip" if zipped else None)
    assert (facts.count, facts.size, facts.sha256) == (count, len(body), hashlib.sha256(body).hexdigest())


def test_gzip_of_several_members_is_one_file(tmp_path: Path) -> None:
    """As RFC 1952 has it; and what expands a thousandfold is unpacked piece by piece."""
    path = tmp_path / "x"
    part_of(path).write_bytes(gzip.compress(b"{}\n") + gzip.compress(b"\n" * 5_000_000) + gzip.compress(b"{}\n"))
    assert (examine(path, "gzip").count, examine(path, "gzip").size) == (2, 5_000_006)
    part_of(path).write_bytes(b"")
    with pytest.raises(Damaged):
        examine(path, "gzip")


# --- who gets the token -------------------------------------------------------------------------------------


async def test_the_token_goes_to_the_server_alone(server: BulkServer, tmp_path: Path) -> None:
    """Kick-off, status, and files that ask for it, of the same origin; another host never sees it, nor the tenant."""
    async with bulk_server() as other:
        server.add("Patient.a", 3)
        other.add("Patient.b", 3)
        server.add(
            "Patient.c", 3, answers=[web.Response(status=307, headers={"Location": f"{other.url}/files/Patient.b"})]
        )
        items = [server.item("Patient.a"), other.item("Patient.b"), server.item("Patient.c")]
        server.pages = [server.manifest(requiresAccessToken=True) | {"output": items}]
        summary = await run(server, tmp_path, token="secret", tenant="clinic-a")
        assert summary.ok
        assert {got.headers.get("Authorization") for got in server.got} == {"Bearer secret"}
        assert len(other.got) == 2
        for got in other.got:
            assert not {"Authorization", "X-Tenant-ID"} & set(got.headers)
    assert "secret" not in (tmp_path / NAME).read_text()


async def test_files_that_need_no_token_get_none(server: BulkServer, tmp_path: Path) -> None:
    """A URL may be all that is needed; the guide forbids a token there."""
    server.add("Patient.a", 3)
    server.pages = [server.manifest("Patient.a", requiresAccessToken=False)]
    assert (await run(server, tmp_path, token="secret", tenant="t")).ok
    (got,) = server.served("Patient.a")
    assert (got.headers.get("Authorization"), got.headers["X-Tenant-ID"]) == (None, "t")


async def test_a_file_that_another_host_protects_says_why_it_cannot_be_had(server: BulkServer, tmp_path: Path) -> None:
    """The token stays at home."""
    async with bulk_server() as other:
        other.add("Patient.a", 3, answers=[outcome(401, "who are you?") for _ in range(2)])
        server.pages = [server.manifest(requiresAccessToken=True) | {"output": [other.item("Patient.a")]}]
        summary = await run(server, tmp_path, token="secret")
    assert "the token is not sent there" in summary.failures[0][1]


@pytest.mark.parametrize("location", ["ftp://h/x", "loop"])
async def test_redirects_that_lead_nowhere_end(server: BulkServer, tmp_path: Path, location: str) -> None:
    """Other schemes, and more than a few of them."""
    where = f"{server.url}/files/Patient.a" if location == "loop" else location
    server.add("Patient.a", 3, answers=[web.Response(status=302, headers={"Location": where}) for _ in range(9)])
    server.pages = [server.manifest("Patient.a")]
    summary = await run(server, tmp_path)
    assert "redirect" in (summary.stopped or "")


# --- the folder ---------------------------------------------------------------------------------------------


async def test_the_next_command_goes_on(server: BulkServer, tmp_path: Path) -> None:
    """The same job, only the files that are missing, and a part from where it ends."""
    server.add("Patient.a", 3)
    file = server.add("Patient.b", 40 * LINES, cuts=[2_500_000], hold=asyncio.Event())
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    part = tmp_path / "Patient.002.ndjson.part"
    task = asyncio.create_task(run(server, tmp_path))
    await until(lambda: (tmp_path / "Patient.001.ndjson").exists() and part.exists() and part.stat().st_size > 1 << 20)
    task.cancel()  # all that a kill leaves: what is on the disk
    with pytest.raises(asyncio.CancelledError):
        await task
    there = part.stat().st_size
    assert 1 << 20 < there <= 2_500_000
    assert file.hold is not None
    file.hold.set()
    summary = await run(server, tmp_path)
    assert (summary.ok, summary.resumed, part.exists()) == (True, True, False)
    assert (tmp_path / "Patient.002.ndjson").read_bytes() == file.body
    assert [len(server.asked("GET", "/fhir/$export")), len(server.served("Patient.a"))] == [1, 1]
    assert ranges(server, "Patient.b") == [None, f"bytes={there}-"]


async def test_a_part_that_is_whole_is_not_fetched_again(server: BulkServer, tmp_path: Path) -> None:
    """Killed after the last byte, and before the check: 416 says that there are no more."""
    file = server.add("Patient.a", 3)
    server.pages = [server.manifest("Patient.a")]
    left(server, tmp_path, file.body, file.validator(file.body))
    assert (await run(server, tmp_path)).ok
    assert ranges(server, "Patient.a") == [f"bytes={len(file.body)}-"]
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body


async def test_a_part_that_is_too_long_begins_anew(server: BulkServer, tmp_path: Path) -> None:
    """The range after it is not there, since it is not a part of this file."""
    file = server.add("Patient.a", 3)
    server.pages = [server.manifest("Patient.a")]
    left(server, tmp_path, file.body * 2, file.validator(file.body))
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body


def left(server: BulkServer, folder: Path, part: bytes, validator: str | None) -> None:
    """What a command that was killed during a download leaves."""
    journal = Journal.open(folder, check(Order(base=server.base)))
    journal.add(Started(f"{server.url}/status/0"))
    (folder / "Patient.001.ndjson.part").write_bytes(part)
    journal.add(Begun("Patient.001.ndjson", validator, None))
    journal.close()


@pytest.mark.parametrize("named", [False, True])
async def test_a_kill_between_the_journal_and_the_name_is_made_up_for(
    server: BulkServer, tmp_path: Path, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was checked: it is only renamed."""
    server.add("Patient.a", 3, zipped=True)
    server.pages = [server.manifest("Patient.a")]

    def killed(path: Path) -> None:
        if named:
            checking_module.unpacked_of(path).replace(path)
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(downloading_module, "settle", killed)
        with pytest.raises(RuntimeError, match="killed"):
            await run(server, tmp_path)
    assert (tmp_path / "Patient.001.ndjson").exists() is named
    assert (await run(server, tmp_path)).ok
    assert len(server.served("Patient.a")) == 1
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == server.files["Patient.a"].body


async def test_a_file_that_was_removed_is_fetched_again(server: BulkServer, tmp_path: Path) -> None:
    """The journal's word alone is not enough."""
    server.add("Patient.a", 3)
    server.add("Patient.b", 3, answers=[outcome(404, "not yet")])
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    assert (await run(server, tmp_path)).status == "incomplete"
    (tmp_path / "Patient.001.ndjson").unlink()
    assert (await run(server, tmp_path)).ok
    assert len(server.served("Patient.a")) == 2


async def test_a_part_of_a_file_that_was_fetched_before_is_a_part(server: BulkServer, tmp_path: Path) -> None:
    """Its name is not given to it because there was a whole one once."""
    file = server.add("Patient.a", LINES)
    server.add("Patient.b", 3, answers=[outcome(404, "not yet") for _ in range(2)])
    server.pages = [server.manifest("Patient.a", "Patient.b")]
    assert (await run(server, tmp_path)).failed == 1
    (tmp_path / "Patient.001.ndjson").unlink()
    file.cuts = [30_000] * 2
    file.etag = '"for a moment"'
    file.answers = []

    def gone(_: object) -> None:
        if len(server.served("Patient.a")) == 2:
            file.answers = [outcome(404, "gone") for _ in range(2)]

    assert (await run(server, tmp_path, on_progress=gone)).failed == 2
    assert (tmp_path / "Patient.001.ndjson.part").stat().st_size == 30_000
    file.answers = [outcome(404, "gone")]
    assert (await run(server, tmp_path)).failed == 1
    assert not (tmp_path / "Patient.001.ndjson").exists()
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body


async def test_a_folder_that_holds_another_export_is_refused(server: BulkServer, tmp_path: Path) -> None:
    """Whatever of the order differs, and says what it holds."""
    server.polls = [outcome(401, "no")]
    await run(server, tmp_path, types=("Patient",))
    for other in ({}, {"types": ("Patient",), "level": "patient"}, {"types": ("Patient",), "tenant": "b"}):
        with pytest.raises(CannotExport, match=r"holds another export .*--type Patient.* Choose another --out"):
            await run(server, tmp_path, **other)
    assert (await run(server, tmp_path, types=("Patient",))).ok


async def test_two_commands_do_not_share_a_folder(server: BulkServer, tmp_path: Path) -> None:
    """The second one is told so."""
    server.polls = [None] * 1000
    first = asyncio.create_task(run(server, tmp_path))
    await until(lambda: bool(server.asked("GET", "/status/0")))
    with pytest.raises(CannotExport, match="another fhirstore export is at work"):
        await run(server, tmp_path)
    server.polls.clear()
    assert (await first).ok


async def test_half_a_line_of_the_journal_is_as_if_it_had_never_been(server: BulkServer, tmp_path: Path) -> None:
    """A kill in the middle of a write; anything else that cannot be read is told."""
    left(server, tmp_path, b"", None)
    with (tmp_path / NAME).open("ab") as file:
        file.write(b'{"event":"whole","name":"Pati')
    assert (await run(server, tmp_path)).ok
    with pytest.raises(CannotExport, match="holds this export, complete"):
        await run(server, tmp_path)
    (tmp_path / NAME).write_bytes(b"garbage\n" + (tmp_path / NAME).read_bytes())
    with pytest.raises(CannotExport, match="is damaged at byte 0"):
        await run(server, tmp_path)


async def test_a_job_that_the_server_lost_ends_the_export(server: BulkServer, tmp_path: Path) -> None:
    """Without files the same folder takes a new one; with files it is refused, since they are of another time."""
    server.add("Patient.a", 3)
    server.pages = [server.manifest("Patient.a", "Patient.gone")]
    assert (await run(server, tmp_path)).status == "incomplete"
    server.gone = True
    summary = await run(server, tmp_path)
    assert (summary.status, "not known to the server any more" in (summary.stopped or "")) == ("failed", True)
    server.gone = False
    with pytest.raises(CannotExport, match="holds files of an export that failed"):
        await run(server, tmp_path)


async def test_a_full_disk_is_told_and_the_next_command_goes_on(
    server: BulkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written stays."""
    file = server.add("Patient.a", 40 * LINES)
    server.pages = [server.manifest("Patient.a")]
    copy = downloading_module.Downloads._copy

    class Full:
        def __init__(self, file: BinaryIO) -> None:
            self.file, self.left = file, 3_000_000

        def write(self, data: bytes) -> int:
            self.file.write(data[: self.left])
            self.left -= min(len(data), self.left)
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            return len(data)

    async def full(self: object, response: object, file: BinaryIO, wanted: object) -> None:
        await copy(self, response, Full(file), wanted)  # type: ignore[arg-type]  # what it needs of them

    with monkeypatch.context() as patch:
        patch.setattr(downloading_module.Downloads, "_copy", full)
        summary = await run(server, tmp_path)
    assert summary.status == "incomplete"
    assert summary.stopped is not None
    assert summary.stopped.startswith(f"No space is left in {tmp_path}. Make some, and run the command again")
    assert (await run(server, tmp_path)).ok
    assert (tmp_path / "Patient.001.ndjson").read_bytes() == file.body
    assert ranges(server, "Patient.a") == [None, "bytes=3000000-"]


async def test_downloads_at_once_are_bounded(server: BulkServer, tmp_path: Path) -> None:
    """As many as allowed wait for the server, and no more."""
    gate = asyncio.Event()
    names = [f"Patient.{n}" for n in range(12)]
    for name in names:
        server.add(name, 2, hold=gate)
    server.pages = [server.manifest(*names)]
    task = asyncio.create_task(run(server, tmp_path, concurrency=3))
    await until(lambda: sum(len(server.served(name)) for name in names) >= 3)
    await asyncio.sleep(0.1)
    assert sum(len(server.served(name)) for name in names) == 3
    gate.set()
    assert (await task).ok
