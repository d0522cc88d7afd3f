"""Objects in a bucket, a directory or memory: the storage below fhirstore, as a library of its own.

    objects = await open_objects("file:./data")              # or s3://bucket/prefix, memory:
    written = await objects.put("a/b.csv", b"1;2", facts=Facts(content_type="text/csv", tags={"keep": "30d"}))
    await objects.put("a/b.csv", b"1;3", condition=IfMatch(written.etag))   # PreconditionFailed if it changed
    await put_file(objects, "a/big.bin", Path("big.bin"), part_size=16 * 2**20, progress=print)
    async with objects.get_stream("a/big.bin", start=100, end=200) as stream:
        body = b"".join([chunk async for chunk in stream])
    print(await objects.stat("a/b.csv"), await statistics(objects, "a/"))
    await objects.copy("a/b.csv", "c/b.csv")
    url = await objects.presign_get("a/b.csv", expires_in=600)              # on S3; else StoreCannot
    await objects.aclose()

`ObjectStore` has the operations of a store, the same on every kind; the functions here build on them. Errors are those
of `fhirstore.errors` (the `ObjectError` family). Only this module is public, not those below it.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from fhirstore.clock import Clock
from fhirstore.errors import StoreMisconfigured
from fhirstore.objects.base import (
    CONCURRENCY,
    IF_ABSENT,
    PART_SIZE,
    Condition,
    IfAbsent,
    IfMatch,
    Listed,
    ObjectStore,
    ObjectStream,
    Page,
    StoredObject,
    Written,
)
from fhirstore.objects.bucket import ArchiveState, Bucket, Rule, Tier, open_bucket
from fhirstore.objects.embedded.backup import Backup, BackupProgress
from fhirstore.objects.embedded.backup import backup as backup_directory
from fhirstore.objects.embedded.compact import Compacted
from fhirstore.objects.embedded.compact import compact as compact_directory
from fhirstore.objects.embedded.restore import restore as restore_directory
from fhirstore.objects.facts import Facts, ObjectInfo, Progress
from fhirstore.objects.files import get_file, put_file, sha256_of, verify
from fhirstore.objects.folders import Statistics, Usage, delete_prefix, exists, list_all, statistics
from fhirstore.objects.health import StoreHealth, health
from fhirstore.objects.observer import OK, OUTCOMES, StoreObserver
from fhirstore.objects.opening import open_store
from fhirstore.objects.presigned import PresignedPost, PresignedPut
from fhirstore.objects.s3.encryption import ALGORITHMS as ENCRYPTIONS
from fhirstore.objects.s3.encryption import Encryption
from fhirstore.objects.s3.options import OnRepeat, Repeat, S3Options
from fhirstore.objects.uploads import PendingUpload, UploadPage
from fhirstore.objects.wrappers.checked import CheckedStore

__all__ = [
    "CONCURRENCY",
    "ENCRYPTIONS",
    "IF_ABSENT",
    "OK",
    "OUTCOMES",
    "PART_SIZE",
    "ArchiveState",
    "Backup",
    "BackupProgress",
    "Bucket",
    "CheckedStore",
    "Compacted",
    "Condition",
    "Encryption",
    "Facts",
    "IfAbsent",
    "IfMatch",
    "Listed",
    "ObjectInfo",
    "ObjectStore",
    "ObjectStream",
    "OnRepeat",
    "Page",
    "PendingUpload",
    "PresignedPost",
    "PresignedPut",
    "Progress",
    "Repeat",
    "Rule",
    "S3Options",
    "Statistics",
    "StoreHealth",
    "StoreObserver",
    "StoredObject",
    "Tier",
    "UploadPage",
    "Usage",
    "Written",
    "backup",
    "compact",
    "create_bucket",
    "credentials_source",
    "delete_prefix",
    "exists",
    "get_file",
    "health",
    "list_all",
    "open_bucket",
    "open_objects",
    "put_file",
    "restore_backup",
    "sha256_of",
    "statistics",
    "verify",
]


async def open_objects(
    location: str, *, s3: S3Options | None = None, clock: Clock | None = None, create: bool = True
) -> ObjectStore:
    """Returns the store at `memory:`, `file:DIR` or `s3://bucket/prefix`, checked. The caller must call `aclose`.

    `create` False: only a store that exists already, so not `memory:`, and no directory without a database of ours. A
    bucket is never made. Raises StoreMisconfigured with one line that says what to do.
    """
    return CheckedStore(await open_store(location, s3=s3, clock=clock, create=create))


def compact(location: str) -> Compacted:
    """Shrink the database file of the embedded store at `location`, while others may use it. Blocks.

    Raises StoreMisconfigured where `location` is of another kind or holds no store; StoreBusy.
    """
    return compact_directory(_directory(location, "compact"))


def backup(
    location: str,
    target: str | PathLike[str],
    *,
    keep: int | None = None,
    on_progress: Callable[[BackupProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """Makes a backup of the embedded store at `location`, while others may use it, as a folder of `target`. Blocks.

    It has all commits up to one moment. `keep`: how many backups stay in `target`; None: all. `stop`: asked often; True
    ends it. Raises StoreMisconfigured where `location` is of another kind or holds no store; BackupFailed, StoreBusy.
    """
    return backup_directory(
        _directory(location, "back up"), Path(target), keep=keep, on_progress=on_progress, stop=stop
    )


def restore_backup(
    path: str | PathLike[str],
    location: str,
    *,
    on_progress: Callable[[BackupProgress], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Backup:
    """Makes an embedded store at `location` of the backup at `path`, or of the newest one in that folder. Blocks.

    Nothing is overwritten: the directory must be empty or not exist. All bytes are checked. Raises StoreMisconfigured,
    BackupFailed; then there is no store.
    """
    return restore_directory(Path(path), _directory(location, "restore"), on_progress=on_progress, stop=stop)


def _directory(location: str, act: str) -> Path:
    scheme, _, rest = location.partition(":")
    if scheme != "file" or not rest:
        raise StoreMisconfigured(detail=f"{location}: there is nothing to {act} but in a store of the form file:DIR")
    return Path(rest)


async def create_bucket(location: str, *, s3: S3Options | None = None) -> bool:
    """Makes the bucket of `s3://bucket/prefix`, with the provider's defaults. Returns False where it is there already.

    Raises StoreMisconfigured where `location` is of another kind, or the bucket cannot be made; StoreUnavailable.
    """
    if not location.startswith("s3:"):
        raise StoreMisconfigured(detail=f"{location}: there is a bucket only in a store of the form s3://bucket/prefix")
    from fhirstore.objects.s3 import provider  # noqa: PLC0415 - the S3 libraries take long to import

    return await provider.create_bucket(location, s3 or S3Options())


async def credentials_source() -> str:
    """Returns where the provider chain finds the credentials for S3, in words; "nowhere" where it finds none.

    Raises StoreMisconfigured, StoreUnavailable.
    """
    from fhirstore.objects.s3 import provider  # noqa: PLC0415 - the S3 libraries take long to import

    return await provider.credentials_source()
