"""The store's promises that one writer at a time can see: conditions, windows, consistency, listings, ETags.

Each check works below its own folder of the probe's ground. It returns what it found when the promise held.
"""

from __future__ import annotations

from functools import partial

from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.probe.ground import Broken, Ground

MINUTE = 60_000  # ms

# In the order of their bytes. Ids hold `-` and `.`; a store on a file system may hide `.a` or fold `A` and `a`.
FLAT = ("-", ".a", "0", "A", "Z-1", "Z.1", "Z1", "Z_1", "_", "a", "aa", "b-", "b.")
# In the order of their bytes; folder by folder, `a/1` comes first.
FOLDERS = ("a-b/1", "a.b/1", "a/1", "a/2", "a0/1")


async def stale_match(ground: Ground) -> str:
    key = f"{ground.root}stale-match"
    old = await ground.put(key, ground.body())
    body = ground.body()
    await ground.put(key, body, condition=IfMatch(old))
    await ground.refused(key, stands=body, condition=IfMatch(old))
    return "refused, object unchanged"


async def match_on_missing(ground: Ground) -> str:
    etag = await ground.put(f"{ground.root}match-on-missing/other", ground.body())
    await ground.refused(f"{ground.root}match-on-missing/none", stands=None, condition=IfMatch(etag))
    return "refused, nothing created"


async def absent_on_existing(ground: Ground) -> str:
    key = f"{ground.root}absent-on-existing"
    body = ground.body()
    await ground.put(key, body, condition=IF_ABSENT)
    await ground.refused(key, stands=body, condition=IF_ABSENT)
    return "refused, object unchanged"


async def absent_after_delete(ground: Ground) -> str:
    key = f"{ground.root}absent-after-delete"
    await ground.put(key, ground.body(), condition=IF_ABSENT)
    await ground.delete(key)
    body = ground.body()
    await ground.put(key, body, condition=IF_ABSENT)
    await ground.refused(key, stands=body, condition=IF_ABSENT)
    return "created anew, once"


async def write_window(ground: Ground) -> str:
    """Plain, conditional and DELETE, since they may be sent differently."""
    folder = f"{ground.root}write-window"
    body = ground.body()
    await ground.refused(f"{folder}/late", stands=None, expires=ground.store.now() - MINUTE)
    await ground.refused(f"{folder}/late", stands=None, condition=IF_ABSENT, expires=ground.store.now() - MINUTE)
    etag = await ground.put(f"{folder}/timely", body, condition=IF_ABSENT, expires=ground.store.now() + MINUTE)
    await ground.refused(f"{folder}/timely", stands=body, condition=IfMatch(etag), expires=ground.store.now() - MINUTE)
    await ground.not_deleted(f"{folder}/timely", stands=body, expires=ground.store.now() - MINUTE)
    await ground.put(f"{folder}/timely", ground.body(), condition=IfMatch(etag), expires=ground.store.now() + MINUTE)
    return "refused when over, accepted before"


async def read_after_write(ground: Ground) -> str:
    key = f"{ground.root}read-after-write"
    etag: str | None = None
    for _ in range(4):
        body = ground.body()
        etag = await ground.put(key, body, condition=IfMatch(etag) if etag else IF_ABSENT)
        found = await ground.read(key)
        if found is None or found.body != body:
            raise Broken("a GET after a PUT showed an older state")
        if found.etag != etag:
            raise Broken("a PUT answered another ETag than the GET after it")
    await ground.delete(key)
    if await ground.read(key) is not None:
        raise Broken("a GET after a DELETE still showed the object")
    return "4 writes and a delete seen at once"


async def list_after_write(ground: Ground) -> str:
    folder = f"{ground.root}list-after-write/"
    for number in range(3):
        await ground.put(f"{folder}{number}", b"")
        if len(await ground.listing(folder)) != number + 1:
            raise Broken("a LIST after a PUT did not show the object")
    await ground.delete(f"{folder}1")
    if [listed.key for listed in await ground.listing(folder)] != [f"{folder}0", f"{folder}2"]:
        raise Broken("a LIST after a DELETE still showed the object")
    return "3 writes and a delete seen at once"


async def list_order(ground: Ground) -> str:
    """Also: a listing starts behind `start_after`, whether or not that key exists."""
    folder = f"{ground.root}list-order/"
    for name in reversed(FLAT):
        await ground.put(folder + name, b"")
    if _names(await _keys(ground, folder), folder) != FLAT:
        raise Broken("a flat folder was not listed in the order of the keys' bytes, or not wholly")
    if _names(await _keys(ground, folder, start_after=f"{folder}Z.1"), folder) != FLAT[6:]:
        raise Broken("start_after was not exclusive")
    if _names(await _keys(ground, folder, start_after=f"{folder}Z"), folder) != FLAT[4:]:
        raise Broken("start_after a key that does not exist went wrong")
    if _names(await _keys(ground, f"{folder}b"), folder) != FLAT[-2:]:
        raise Broken("a prefix that ends within a name went wrong")
    return "byte order; start_after is exclusive"


async def list_pages(ground: Ground) -> str:
    """Across folders and rolled up."""
    folder = f"{ground.root}list-pages/"
    for name in FOLDERS:
        await ground.put(folder + name, b"")
    whole = await _keys(ground, folder)
    if sorted(_names(whole, folder)) != sorted(FOLDERS):
        raise Broken("a listing across folders was not complete")
    for limit in (1, 2):
        if await _keys(ground, folder, limit=limit) != whole:
            raise Broken(f"pages of {limit} skipped, repeated or reordered keys")
    prefixes: list[str] = []
    cursor: str | None = None
    for _ in FOLDERS:
        page = await ground.patiently(partial(ground.store.list, folder, cursor=cursor, delimiter=True, limit=2))
        prefixes.extend(page.prefixes)
        cursor = page.cursor
        if page.objects or cursor is None:
            break
    if sorted(prefixes) != sorted({f"{folder}{name.split('/')[0]}/" for name in FOLDERS}):
        raise Broken("a listing with delimiter did not give every folder once")
    return "complete in pages of 1 and 2, and rolled up"


async def list_across_folders(ground: Ground) -> str:
    """A fact, not a promise: `bytes` as S3 documents, or `tree`, folder by folder."""
    folder = f"{ground.root}list-across-folders/"
    for name in FOLDERS:
        await ground.put(folder + name, b"")
    names = _names(await _keys(ground, folder), folder)
    if names == FOLDERS:
        return "bytes"
    if names == tuple(sorted(FOLDERS, key=lambda name: name.split("/"))):
        return "tree"
    raise Broken("neither in the order of bytes nor folder by folder")


async def etag_changes(ground: Ground) -> str:
    key = f"{ground.root}etag-changes"
    one = ground.body()
    if await ground.put(key, one) == await ground.put(key, one[:-1] + b"!"):
        raise Broken("a changed body kept its ETag")
    return "one byte changed it"


async def etag_is_of_body(ground: Ground) -> str:
    folder = f"{ground.root}etag-is-of-body"
    body = ground.body()
    if await ground.put(f"{folder}/1", body) != await ground.put(f"{folder}/2", body):
        raise Broken("equal bodies had different ETags")
    return "equal bodies, equal ETags"


async def delete_many(ground: Ground) -> str:
    folder = f"{ground.root}delete-many/"
    keys = [f"{folder}{name}" for name in ("1", "2-3.4", "5_6", "stays")]
    for key in keys:
        await ground.put(key, b"")
    await ground.patiently(lambda: ground.store.delete_many([*keys[:3], f"{folder}absent"]))
    if await _keys(ground, folder) != keys[3:]:
        raise Broken("a batch delete left objects, or took others")
    return "3 of 4 deleted, an absent one ignored"


async def _keys(ground: Ground, prefix: str, *, start_after: str | None = None, limit: int = 1000) -> list[str]:
    return [listed.key for listed in await ground.listing(prefix, start_after=start_after, limit=limit)]


def _names(keys: list[str], folder: str) -> tuple[str, ...]:
    return tuple(key.removeprefix(folder) for key in keys)
