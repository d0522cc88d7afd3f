"""Restores a backup of an embedded store into a new directory.

The directory is built beside its place under another name and renamed when all is there, checked and synced: that is
the commit point. So a restore that was killed leaves no store, and the next one begins anew. Every byte is checked: the
database by its SHA-256 and SQLite's own check, each body file by the hash in its row. A backup of an earlier format is
restored as it is; the first process that opens the store upgrades it.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from fhirstore.clock import Ids, SystemIds
from fhirstore.errors import BackupFailed, StoreMisconfigured
from fhirstore.objects.embedded.backup import (
    BODIES,
    LOCK,
    MANIFEST,
    Backup,
    BackupProgress,
    Manifest,
    Show,
    Stop,
    backups,
    check_database,
    copy_body,
    is_left,
    locked_folder,
    named_files,
    refuse_if,
    sha256_of_file,
    sync_file,
)
from fhirstore.objects.embedded.database import DATABASE, is_ours, meaning
from fhirstore.objects.embedded.large_bodies import sync_folder

_MARK = ".restoring-"


def find_backup(path: Path) -> Backup:
    """Returns the backup at `path`, or the newest one in that folder. Raises StoreMisconfigured where there is none."""
    chosen = path if (path / MANIFEST).is_file() else next(reversed(backups(path)), None)
    if chosen is None:
        raise StoreMisconfigured("", f"{path} is no backup, and holds none; name a folder with a {MANIFEST}")
    try:
        return Backup(chosen, msgspec.json.decode((chosen / MANIFEST).read_bytes(), type=Manifest))
    except (msgspec.MsgspecError, OSError) as error:
        raise BackupFailed(f"{chosen / MANIFEST} cannot be read; choose another backup") from error


def restore(
    path: Path,
    directory: Path,
    *,
    on_progress: Show = lambda _: None,
    stop: Stop = lambda: False,
    ids: Ids | None = None,
) -> Backup:
    """Makes a store in `directory`, which must be empty or not exist, of the backup at `path`. Blocks.

    Returns the backup. Raises StoreMisconfigured, BackupFailed; then there is no store.
    """
    made = find_backup(path.absolute())
    directory = directory.absolute()
    try:
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise StoreMisconfigured("", f"{directory} is not empty; nothing is overwritten, so name a new directory")
        directory.parent.mkdir(parents=True, exist_ok=True)
        for left in directory.parent.glob(f"{directory.name}{_MARK}*"):
            if is_left(left):
                shutil.rmtree(left, ignore_errors=True)
        work = directory.with_name(f"{directory.name}{_MARK}{(ids or SystemIds()).new()}")
        with locked_folder(work):
            _fill(made, work, on_progress, stop)
            (work / LOCK).unlink()
            sync_folder(work)
            work.rename(directory)
            sync_folder(directory.parent)
    except sqlite3.Error as error:
        raise BackupFailed(f"{made.path}: {meaning(error)}") from error
    except OSError as error:
        raise BackupFailed(f"{error.filename or directory}: {error.strerror}") from error
    return made


def _fill(made: Backup, work: Path, show: Show, stop: Stop) -> None:
    manifest = made.manifest
    show(BackupProgress("database", 0, manifest.size))
    shutil.copyfile(made.path / DATABASE, work / DATABASE)
    (work / DATABASE).chmod(0o600)
    if sha256_of_file(work / DATABASE) != manifest.sha256:
        raise BackupFailed(f"{made.path / DATABASE} is damaged; choose another backup")
    refuse_if(stop)
    folder = work / BODIES
    folder.mkdir(mode=0o700)
    done = 0
    with closing(sqlite3.connect(work / DATABASE, isolation_level=None)) as database:
        show(BackupProgress("checking", 0, 0))
        if not is_ours(database):
            raise BackupFailed(f"{made.path / DATABASE} is not a fhirstore database")
        check_database(database)
        for name, size, etag in named_files(database):
            refuse_if(stop)
            copy_body(made.path / BODIES / name, folder / name, size=size, etag=etag)
            done += size
            show(BackupProgress("bodies", done, manifest.bytes))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
        (work / name).unlink(missing_ok=True)
    sync_folder(folder)
    sync_file(work / DATABASE)
