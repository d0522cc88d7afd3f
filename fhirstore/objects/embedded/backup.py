"""Backs up an embedded store while it is used: a snapshot of the database, and the body files that it names.

| step | what |
|---|---|
| 1 | hard links to all body files in a folder of the store, so that none goes away that the snapshot names |
| 2 | BEGIN and a read: the moment of the backup. Links to the files that came since; if one is gone already, again |
| 3 | the pages of the snapshot, with SQLite's backup API, in steps on the connection that holds the read transaction |
| 4 | `PRAGMA integrity_check` of the copy; SHA-256 of the file |
| 5 | each body file that the copy names: a hard link to the one in an earlier backup, or a copy whose hash is checked |
| 6 | `backup.json`; everything is synced; the folder gets its name: **the commit point** |

Body files never change and never get another's name, so the one of an earlier backup is the same. Writers never wait;
the log of the database grows while step 3 lasts, because it cannot be checkpointed past the snapshot. Parts of uploads
that are not complete are left out. A store of an earlier format is backed up as it is.

What a killed backup leaves, an unnamed folder, is removed by the next one, which uses the files that were complete.
https://www.sqlite.org/c3ref/backup_finish.html
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fhirstore.clock import Ids, SystemIds
from fhirstore.errors import BackupFailed, StoreBusy, StoreMisconfigured
from fhirstore.objects.embedded.database import DATABASE, is_ours, meaning, version_of
from fhirstore.objects.embedded.existing import refuse_what_is_no_store
from fhirstore.objects.embedded.large_bodies import sync_folder
from fhirstore.objects.etag import etag_hash

MANIFEST = "backup.json"
BODIES = "bodies"
_UNFINISHED = ".unfinished-"
_STAGING = "backup-"
LOCK = "in-use.lock"
_PAGES = 2_000  # of 8 KiB, a step
_CHUNK = 1024 * 1024
_SNAPSHOTS = 5

_FILES = {
    1: "SELECT file, size, etag FROM objects WHERE file IS NOT NULL",
    2: "SELECT file, size, etag FROM bodies WHERE file IS NOT NULL",
}
_HALF_UPGRADED = "SELECT file, size, etag FROM objects_of_format_1 WHERE file IS NOT NULL"


@dataclass(frozen=True, slots=True)
class BackupProgress:
    """How far a backup or a restore is. `phase`: database, checking or bodies; `done`, `total`: bytes."""

    phase: str
    done: int
    total: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`backup.json`. `moment`: the snapshot has all commits up to this time of the store, epoch ms, and none after it.

    `format`: of the database. `size`, `sha256`: of its file. `files`, `bytes`: body files. `kept`: bytes of those that
    an earlier backup had already.
    """

    moment: int
    format: int
    size: int
    sha256: str
    files: int
    bytes: int
    kept: int = 0


Show = Callable[[BackupProgress], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup: where it is, and what its manifest says."""

    path: Path
    manifest: Manifest


def backup(
    directory: Path,
    target: Path,
    *,
    keep: int | None = None,
    on_progress: Show = lambda _: None,
    stop: Stop = lambda: False,
    ids: Ids | None = None,
) -> Backup:
    """Makes a backup of the store in `directory` as a folder of `target`, which is named by the time. Blocks.

    `keep`: how many backups stay there, this one included; None: all. Raises StoreMisconfigured where there is no
    store, or `target` is no place; BackupFailed where it was stopped, a file is damaged, or the disk is full.
    """
    ids = ids or SystemIds()
    directory, target = directory.absolute(), target.absolute()
    refuse_what_is_no_store(directory)
    if target == directory or directory in target.parents:
        raise StoreMisconfigured("", f"{target} lies in the store; name a directory outside, best on another disk")
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _own_folder(target, _UNFINISHED, ids) as work, _own_folder(directory, _STAGING, ids) as staging:
            manifest = _copied(directory, target, work, staging, show=on_progress, stop=stop)
            (work / LOCK).unlink()
            sync_folder(work)
            path = _named(work, target)
        _remove_leftovers(target, _UNFINISHED)
        _remove_older(target, keep)
        return Backup(path, manifest)
    except sqlite3.Error as error:
        raise BackupFailed(f"{directory}: {meaning(error)}") from error
    except OSError as error:
        raise BackupFailed(f"{error.filename or target}: {error.strerror}") from error


def backups(target: Path) -> list[Path]:
    """Returns the complete backups in a folder, the newest last."""
    if not target.is_dir():
        return []
    return sorted(each for each in target.iterdir() if not each.name.startswith(".") and (each / MANIFEST).is_file())


# --- the steps -------------------------------------------------------------------------------------------------------


def _copied(directory: Path, target: Path, work: Path, staging: Path, *, show: Show, stop: Stop) -> Manifest:
    with closing(_reader(directory)) as source:
        moment, format_ = _pinned(source, directory / BODIES, staging)
        _copy_database(source, work / DATABASE, show, stop)
    with closing(sqlite3.connect(work / DATABASE, isolation_level=None)) as copy:
        show(BackupProgress("checking", 0, 0))
        check_database(copy)
        files, size, kept = _copy_bodies(copy, staging, work / BODIES, earlier=_earlier(target), show=show, stop=stop)
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (work / name).unlink(missing_ok=True)
    sync_file(work / DATABASE)
    manifest = Manifest(
        moment=moment,
        format=format_,
        size=(work / DATABASE).stat().st_size,
        sha256=sha256_of_file(work / DATABASE),
        files=files,
        bytes=size,
        kept=kept,
    )
    (work / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
    sync_file(work / MANIFEST)
    return manifest


def _reader(directory: Path) -> sqlite3.Connection:
    """Returns a connection that upgrades nothing."""
    return sqlite3.connect(directory / DATABASE, timeout=30, isolation_level=None, check_same_thread=False)


def _pinned(source: sqlite3.Connection, bodies: Path, staging: Path) -> tuple[int, int]:
    """Begins the read transaction that is the moment of the backup, when all files that it names are in `staging`.

    Returns its time (epoch ms; 0 in the first format) and its format.
    """
    before: str | None = None
    for _ in range(_SNAPSHOTS):
        _link_all(bodies, staging)
        source.execute("BEGIN")
        format_ = version_of(source)
        if not is_ours(source):
            raise StoreMisconfigured("", "the database was replaced; nothing was backed up")
        moment = _reached(source)
        _link_all(bodies, staging)
        missing = next((name for name, _, _ in named_files(source) if not (staging / name).exists()), None)
        if missing is None:
            return moment, format_
        source.execute("ROLLBACK")
        if missing == before:
            raise BackupFailed(f"{bodies / missing} is missing, but the database names it; run fhirstore fsck")
        before = missing
    raise StoreBusy("", "body files are replaced faster than they can be listed; try again")


def _link_all(bodies: Path, staging: Path) -> None:
    with suppress(FileNotFoundError), os.scandir(bodies) as entries:
        for entry in entries:
            with suppress(FileExistsError, FileNotFoundError):  # it is linked already, or was removed meanwhile
                os.link(entry.path, staging / entry.name)


def _reached(connection: sqlite3.Connection) -> int:
    for column in ("reached", "high"):
        with suppress(sqlite3.OperationalError):
            (value,) = connection.execute(f"SELECT {column} FROM clock").fetchone()
            return int(value)
    return 0


def named_files(connection: sqlite3.Connection) -> Iterator[tuple[str, int, str]]:
    """Yields name, size and ETag of every body file that a row names, in a database of any format."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "bodies" not in tables:
        yield from connection.execute(_FILES[1])
        return
    yield from connection.execute(_FILES[2])
    if "objects_of_format_1" in tables:
        yield from connection.execute(_HALF_UPGRADED)


def _copy_database(source: sqlite3.Connection, path: Path, show: Show, stop: Stop) -> None:
    """Copies the snapshot that `source` holds; its transaction stays open between the steps, so that none restarts."""

    def step(_: int, remaining: int, total: int) -> None:
        show(BackupProgress("database", (total - remaining) * page, total * page))
        refuse_if(stop)

    (page,) = source.execute("PRAGMA page_size").fetchone()
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        source.backup(copy, pages=_PAGES, progress=step, sleep=0)
    path.chmod(0o600)


def check_database(connection: sqlite3.Connection) -> None:
    """Raises BackupFailed where the database is damaged."""
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise BackupFailed(f"the database is damaged ({verdict}); run fhirstore fsck, or keep the last good backup")


def _copy_bodies(
    copy: sqlite3.Connection, staging: Path, folder: Path, *, earlier: list[Path], show: Show, stop: Stop
) -> tuple[int, int, int]:
    """Returns the number of body files, their bytes, and the bytes of those that were there already."""
    folder.mkdir(mode=0o700)
    total = sum(size for _, size, _ in named_files(copy))
    files = done = kept = 0
    for name, size, etag in named_files(copy):
        refuse_if(stop)
        if _linked(name, size, earlier, folder):
            kept += size
        else:
            copy_body(staging / name, folder / name, size=size, etag=etag)
        files, done = files + 1, done + size
        show(BackupProgress("bodies", done, total))
    sync_folder(folder)
    return files, done, kept


def _linked(name: str, size: int, earlier: list[Path], folder: Path) -> bool:
    """Returns whether an earlier backup has this file, and it is linked from there."""
    for place in earlier:
        with suppress(OSError):
            if (place / name).stat().st_size == size:
                os.link(place / name, folder / name)
                return True
    return False


def copy_body(source: Path, target: Path, *, size: int, etag: str) -> None:
    """Copies a body file, which appears whole and synced. Raises BackupFailed where it is not what its row says."""
    unfinished = target.with_name(f"{target.name}.part")
    hash_, done = etag_hash(), 0
    try:
        with source.open("rb", 0) as reading, unfinished.open("wb", 0) as writing:
            os.fchmod(writing.fileno(), 0o600)
            while chunk := reading.read(_CHUNK):
                hash_.update(chunk)
                done += len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[writing.write(view) :]
            os.fsync(writing.fileno())
    except FileNotFoundError as error:
        raise BackupFailed(f"{source} is missing, but the database names it; run fhirstore fsck") from error
    if (done, hash_.hexdigest()) != (size, etag):
        raise BackupFailed(f"{source} is damaged; run fhirstore fsck, or keep the last good backup")
    unfinished.rename(target)


def refuse_if(stop: Stop) -> None:
    """Raises BackupFailed where `stop` says so."""
    if stop():
        raise BackupFailed("interrupted; nothing was changed")


def sha256_of_file(path: Path) -> str:
    """Returns the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- folders ---------------------------------------------------------------------------------------------------------


@contextmanager
def _own_folder(parent: Path, prefix: str, ids: Ids) -> Iterator[Path]:
    """Makes a folder that is removed at the end, unless it has got another name. Its lock says that somebody uses it.

    In the store, it also removes what killed backups left there.
    """
    if prefix == _STAGING:
        _remove_leftovers(parent, prefix)
    folder = parent / f"{prefix}{ids.new()}"
    with locked_folder(folder):
        yield folder


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Makes a folder with a lock in it that is held meanwhile; removes it at the end, unless it was renamed."""
    folder.mkdir(mode=0o700)
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if is_left(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_left(folder: Path) -> bool:
    """Returns whether nobody is working in such a folder any more."""
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        with suppress(OSError):
            return time.time() - folder.stat().st_mtime > 60  # it is only just being made, or being named
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True


def _earlier(target: Path) -> list[Path]:
    """Returns the folders of body files that may be linked: of the last backup, and of broken ones."""
    broken = [each for each in target.glob(f"{_UNFINISHED}*") if is_left(each)]
    return [each / BODIES for each in (*reversed(backups(target)[-2:]), *broken)]


def _named(work: Path, target: Path) -> Path:
    """Gives the folder its name, durably."""
    name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path, n = target / name, 1
    while path.exists():
        n += 1
        path = target / f"{name}-{n:03}"
    work.rename(path)
    sync_folder(target)
    return path


def _remove_older(target: Path, keep: int | None) -> None:
    if keep is None:
        return
    for path in backups(target)[: -max(1, keep)]:
        gone = path.with_name(f"{_UNFINISHED}{path.name}")
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
