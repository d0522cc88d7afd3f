"""Sources as they are: files outside, files that change, errors that pass or stay, pages, late manifests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from fhirstore.errors import SourceFailed, SubmissionEnded
from fhirstore.store import FhirStore
from fhirstore.submit import ingest
from fhirstore.submit.local import LocalFiles
from fhirstore.submit.source import Access, Opened, Source, Wanted
from fhirstore.submit.submitters import Submitter, Submitters
from fhirstore.submit.work import SubmitJob
from tests.submit.providing import (
    ACME,
    QUICK,
    Folder,
    diagnostics,
    finished,
    options,
    outcomes,
    patient,
    request,
    working,
)


def _access(path: Path) -> Access:
    return Access(Submitter(identifier=ACME, tenant="default", folders=(str(path),)))


async def _read(path: Path, wanted: Wanted) -> bytes:
    async with LocalFiles().opening(_access(path)) as source, source.open(wanted) as opened:
        return b"".join([chunk async for chunk in opened])


async def test_a_local_file_is_read_from_any_byte_and_known_by_its_name(tmp_path: Path) -> None:
    """A file that was changed since is another one."""
    file = tmp_path / "a file.ndjson"
    file.write_bytes(b"0123456789")
    assert await _read(tmp_path, Wanted(file.as_uri(), start=4)) == b"456789"
    async with LocalFiles().opening(_access(tmp_path)) as source, source.open(Wanted(file.as_uri())) as opened:
        etag = opened.etag
    assert await _read(tmp_path, Wanted(file.as_uri(), start=9, etag=etag)) == b"9"
    file.write_bytes(b"0123456789+")
    with pytest.raises(SourceFailed):
        await _read(tmp_path, Wanted(file.as_uri(), start=9, etag=etag))


async def test_nothing_outside_of_the_folders_is_read(tmp_path: Path) -> None:
    """By no way of writing it, by no link, and no file that is not a regular one."""
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.write_text("secret")
    (inside / "link").symlink_to(outside)
    os.mkfifo(inside / "pipe")
    (tmp_path / "in2").mkdir()
    (tmp_path / "in2" / "x").write_text("secret")
    for url in (
        outside.as_uri(),
        f"{inside.as_uri()}/../out",
        f"{inside.as_uri()}/%2e%2e/out",
        f"{inside.as_uri()}/link",
        f"{inside.as_uri()}/pipe",
        inside.as_uri(),
        f"{tmp_path.as_uri()}/in2/x",
        f"{inside.as_uri()}/nothing",
        f"{inside.as_uri()}/a%00b",
        f"file://else{inside}/x",
        "file:relative",
        "https://example.org/x",
        "/etc/passwd",
    ):
        with pytest.raises(SourceFailed) as failed:
            await _read(inside, Wanted(url))
        assert str(tmp_path) not in str(failed.value)


@dataclass(slots=True)
class Scripted:
    """Local files, but for what `disturb` does to the n-th opening: raise, or change what is read."""

    disturb: Callable[[int, Wanted], float | None]
    wanted: list[Wanted] = field(default_factory=list)

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Source]:
            async with LocalFiles().opening(access) as source:
                yield _ScriptedSource(self, source)

        return opened()

    def check(self, url: str, access: Access) -> None:
        LocalFiles().check(url, access)


@dataclass(frozen=True, slots=True)
class _ScriptedSource:
    script: Scripted
    source: Source

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            self.script.wanted.append(wanted)
            retry_after = self.script.disturb(len(self.script.wanted), wanted)
            async with self.source.open(wanted) as inner:
                inner.retry_after = retry_after
                yield inner

        return opened()


async def test_a_source_that_fails_for_the_time_being_is_asked_again(tmp_path: Path) -> None:
    """From where it was; and the third time it works."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient(f"p{n}") for n in range(50)])

    def disturb(n: int, wanted: Wanted) -> float | None:
        if n in (1, 2, 4):
            raise SourceFailed("The provider is busy", code="transient", again=True)
        return None

    sources = Scripted(disturb)
    submit = options(tmp_path, sources=sources)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=submit) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
        assert (status.manifests[0].state, status.manifests[0].counts.created) == ("processed", 50)
        assert len(sources.wanted) == 5


async def test_a_source_that_never_works_fails_its_manifest(tmp_path: Path) -> None:
    """After so many tries; and the file that can be read is stored."""
    folder = Folder(tmp_path)
    good, bad = folder.write("good.ndjson", [patient("a")]), folder.write("bad.ndjson", [patient("b")])
    manifest = folder.manifest("m.json", [("Patient", bad, 1), ("Patient", good, 1)])

    def disturb(n: int, wanted: Wanted) -> float | None:
        if wanted.url == bad:
            raise SourceFailed("The provider is busy", code="transient", again=True)
        return None

    submit = options(tmp_path, sources=Scripted(disturb), tries=2)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=submit) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
        assert (status.manifests[0].state, status.manifests[0].counts.created) == ("failed", 1)
        told = [diagnostics(one) for one in await outcomes(clinic, status)]
        assert told[0] == "bad.ndjson: The file could not be read: The provider is busy"


async def test_a_file_that_is_not_there_fails_its_manifest_and_no_other(tmp_path: Path) -> None:
    """Nor does a manifest that is none."""
    folder = Folder(tmp_path)
    missing = folder.manifest("missing.json", [("Patient", (tmp_path / "none.ndjson").as_uri(), 1)])
    (tmp_path / "nonsense.json").write_text("<html>")
    good = folder.patients("good", [patient("a")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(missing))
            await clinic.submissions.submit(request((tmp_path / "nonsense.json").as_uri()))
            await clinic.submissions.submit(request(good, status="completed"))
            status = await finished(clinic)
        assert [one.state for one in status.manifests] == ["failed", "failed", "processed"]
        assert (await clinic.read("Patient", "a")).version_id == 1


async def test_files_of_one_name_are_told_apart_by_their_numbers(tmp_path: Path) -> None:
    """In the outcomes of their lines."""
    (tmp_path / "x").mkdir()
    urls = [Folder(path).write("p.ndjson", [b"{"]) for path in (tmp_path, tmp_path / "x")]
    manifest = Folder(tmp_path).manifest("m.json", [("Patient", url, 1) for url in urls])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest, status="completed"))
            status = await finished(clinic)
        told = [diagnostics(one) for one in await outcomes(clinic, status)]
        assert [one.partition(":")[0] for one in told[:2]] == [f"p.ndjson (file {n}), line 1" for n in (1, 2)]


async def test_a_manifest_of_pages_is_read_to_its_end(tmp_path: Path) -> None:
    """And one whose pages go round in a circle fails, with its files stored."""
    folder = Folder(tmp_path)
    urls = [folder.write(f"{n}.ndjson", [patient(f"p{n}")]) for n in range(3)]
    folder.manifest("2.json", [("Patient", urls[2], 1)])
    folder.manifest("1.json", [("Patient", urls[1], 1)], link=[{"relation": "next", "url": "2.json"}])
    first = folder.manifest("0.json", [("Patient", urls[0], 1)], link=[{"relation": "next", "url": "1.json"}])
    circle = folder.manifest("c.json", [("Patient", urls[0], 1)], link=[{"relation": "next", "url": "c.json"}])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(first))
            await clinic.submissions.submit(request(circle, status="completed"))
            status = await finished(clinic)
        assert [(one.state, one.counts.lines) for one in status.manifests] == [("processed", 3), ("failed", 1)]


async def test_a_manifest_that_is_not_complete_yet_is_asked_for_again(tmp_path: Path) -> None:
    """When its provider says; meanwhile others are read."""
    folder = Folder(tmp_path)
    late, soon = folder.patients("late", [patient("a")]), folder.patients("soon", [patient("b")])

    def disturb(n: int, wanted: Wanted) -> float | None:
        return 0.5 if n == 1 else None

    sources = Scripted(disturb)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path, sources=sources)) as store:
        clinic = store.tenant("default")
        await clinic.submissions.submit(request(late))
        await clinic.submissions.submit(request(soon, status="completed"))
        async with working(store):
            status = await finished(clinic)
        assert [one.state for one in status.manifests] == ["processed", "processed"]
        manifests = [one.url for one in sources.wanted if one.url.endswith(".json")]
        assert manifests == [late, soon, late]


async def test_a_submission_without_a_word_is_given_up(tmp_path: Path) -> None:
    """After the idle time; its job fails and says so."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient("a")])
    submit = replace(options(tmp_path), idle=0)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=submit) as store:
        clinic = store.tenant("default")
        async with working(store, [SubmitJob(store._engine, submit)]):
            await clinic.submissions.submit(request(manifest))
            status = await finished(clinic)
        assert not status.finished
        assert "given up" in status.failure[0].diagnostics
        with pytest.raises(SubmissionEnded):
            await clinic.submissions.submit(request(status="completed"))


async def test_a_submitter_that_is_removed_from_the_configuration_ends_its_submission(tmp_path: Path) -> None:
    """Its manifests fail, and no job asks for ever."""
    folder = Folder(tmp_path)
    manifest = folder.patients("all", [patient("a")])
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path)) as store:
        clinic = store.tenant("default")
        await clinic.submissions.submit(request(manifest, status="completed"))
        nobody = replace(options(tmp_path), submitters=Submitters())
        async with working(store, [SubmitJob(store._engine, nobody)]):
            status = await finished(clinic)
        assert [one.state for one in status.manifests] == ["failed"]
        assert "not configured" in diagnostics((await outcomes(clinic, status))[0])


class _Hanging:
    """A body that begins, and never goes on."""

    size: int | None = None
    etag: str | None = None
    retry_after: float | None = None

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"resourceType":"Patient",'
        self.begun.set()
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class _Hangs:
    """Local files, but for what hangs: those with this name."""

    name: str
    body: _Hanging = field(default_factory=_Hanging)

    def opening(self, access: Access) -> AbstractAsyncContextManager[Source]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Source]:
            async with LocalFiles().opening(access) as source:
                yield _HangsSource(self, source)

        return opened()

    def check(self, url: str, access: Access) -> None:
        LocalFiles().check(url, access)


@dataclass(frozen=True, slots=True)
class _HangsSource:
    what: _Hangs
    source: Source

    def open(self, wanted: Wanted) -> AbstractAsyncContextManager[Opened]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Opened]:
            yield self.what.body

        return opened() if wanted.url.endswith(self.what.name) else self.source.open(wanted)


@pytest.mark.parametrize("name", ["all.json", "all.ndjson"])
async def test_a_submission_is_stopped_though_its_provider_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the middle of a manifest, and of a file."""
    monkeypatch.setattr(ingest, "_LOOK", 0.05)
    manifest, sources = Folder(tmp_path).patients("all", [patient("a")]), _Hangs(name)
    async with FhirStore.open("memory:", limits=QUICK, submit_options=options(tmp_path, sources=sources)) as store:
        clinic = store.tenant("default")
        async with working(store):
            await clinic.submissions.submit(request(manifest))
            await asyncio.wait_for(sources.body.begun.wait(), 30)
            await clinic.submissions.submit(request(status="stopped"))
            status = await finished(clinic, within=30)
        assert status.finished and [one.state for one in status.manifests] == ["undone"]
