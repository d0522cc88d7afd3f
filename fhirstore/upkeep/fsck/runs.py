"""Checks sealed runs: every seal is readable, its files are there, with their sizes and (deep) their bytes.

Safe beside writers: the files of a run are there before its seal, and are removed only after the seal was replaced by a
tombstone. So what a listing does not show is looked up, and then the seal is read again; if it still stands, the file
is lost. Whether an object was left behind is judged as the sweeper does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhirstore.batched import batched
from fhirstore.commit.backoff import UNANSWERED
from fhirstore.commit.idempotent import listed, removed
from fhirstore.commit.limits import Context
from fhirstore.commit.messages import Absent, Archived, Digest, Digested, List, Protocol
from fhirstore.commit.side_by_side import side_by_side
from fhirstore.errors import CorruptRecord, Unavailable
from fhirstore.format.keyspace import Keyspace
from fhirstore.format.runs import RunKeys, Seal, SealedFile
from fhirstore.objects.base import Listed
from fhirstore.runs.sealing import glance
from fhirstore.upkeep.fsck.finding import Finding, unreadable
from fhirstore.upkeep.fsck.unreadable import listed_behind_damage
from fhirstore.upkeep.sweep.runs import RunFolder, RunPace, folders_of, leftovers

_AT_ONCE = 16
_MARGIN = RunPace().margin


def walk_runs(
    keys: Keyspace,
    *,
    context: Context,
    page: int,
    deep: bool,
    take: Callable[[Sequence[Finding]], Protocol[None]],
) -> Protocol[None]:
    """Gives `take` what is wrong with the runs, a page at a time. Raises Unavailable.

    Holds one page, and the folder that goes on behind it.
    """
    lost: list[str] = []
    open_: RunFolder | None = None
    cursor: str | None = None
    while True:
        found = yield from listed_behind_damage(List(keys.runs(), cursor=cursor, limit=page), lost)
        strays: list[str] = []
        folders = folders_of(keys, found.objects, strays)
        if open_ is not None and folders and folders[0].keys.folder == open_.keys.folder:
            folders[0].items[:0] = open_.items
        elif open_ is not None:
            folders.insert(0, open_)
        cursor = found.cursor
        open_ = folders.pop() if folders and cursor is not None else None
        yield from take([Finding("stray-key", key) for key in strays])
        for some in batched(folders, _AT_ONCE):
            checked = yield from side_by_side([_check(folder, context, deep=deep) for folder in some])
            yield from take([finding for findings in checked for finding in findings])
        if cursor is None:
            yield from take(unreadable(lost))
            return


def _check(folder: RunFolder, context: Context, *, deep: bool) -> Protocol[list[Finding]]:
    keys = folder.keys
    try:
        seal, _ = yield from glance(keys)
    except CorruptRecord:
        return [Finding("run-seal", keys.seal)]
    findings = [
        Finding("run-leftover", key, repairable=True)
        for key in (yield from leftovers(folder, context=context, margin=_MARGIN))
    ]
    if isinstance(seal, Seal):
        there = {item.key: item for item in folder.items}
        for file in seal.files:
            finding = yield from _check_file(keys, file, there.get(keys.file(file.object)), deep=deep)
            if finding is not None and (yield from _still_sealed(keys, seal)):
                findings.append(finding)
    return findings


def _check_file(keys: RunKeys, file: SealedFile, item: Listed | None, *, deep: bool) -> Protocol[Finding | None]:
    key = keys.file(file.object)
    if item is None:
        page = yield from listed(List(key, limit=1))
        item = next((each for each in page.objects if each.key == key), None)
    if item is None:
        return Finding("run-file-missing", key)
    if item.size != file.size:
        return Finding("run-file-size", key, f"{item.size} bytes, and not {file.size}")
    if deep and (yield from digest_of(key)) not in (file.sha256, None):
        return Finding("run-file-hash", key)
    return None


def digest_of(key: str) -> Protocol[str | None]:
    """Returns the hash of an object; "" where it is not there, or damaged; None: it is in an archive class."""
    for n in range(UNANSWERED.tries):
        (reply,) = yield (Digest(key),)
        if isinstance(reply, Digested):
            return reply.sha256
        if isinstance(reply, Absent):
            return ""
        if isinstance(reply, Archived):
            return None
        yield UNANSWERED.pause(n)
    raise Unavailable("The object store does not answer; try again later")


def _still_sealed(keys: RunKeys, seal: Seal) -> Protocol[bool]:
    try:
        now, _ = yield from glance(keys)
    except CorruptRecord:
        return False
    return now == seal


def remove_leftover(keys: Keyspace, key: str, *, context: Context) -> Protocol[bool]:
    """Removes a file that no run was sealed with, unless it is none any more. Returns whether it is gone."""
    page = yield from listed(List(key, limit=1))
    for folder in folders_of(keys, [item for item in page.objects if item.key == key]):
        gone = yield from leftovers(folder, context=context, margin=_MARGIN)
        if not gone:
            return False
        yield from removed(*gone)
    return True
