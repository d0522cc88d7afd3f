"""The guarantees of a store that one writer at a time can check: conditions, windows, consistency, listings, ETags.

Each check works below its own folder. It returns what it found if the guarantee held.
"""

from __future__ import annotations

from functools import partial

from fhirstore.objects.base import IF_ABSENT, IfMatch
from fhirstore.objects.probe.client import Broken, ProbeClient

MINUTE = 60_000  # ms

# In the order of their bytes. Ids contain `-` and `.`; a store on a file system may hide `.a` or merge `A` and `a`.
FLAT = ("-", ".a", "0", "A", "Z-1", "Z.1", "Z1", "Z_1", "_", "a", "aa", "b-", "b.")
# In the order of their bytes. Folder by folder, `a/1` comes first.
FOLDERS = ("a-b/1", "a.b/1", "a/1", "a/2", "a0/1")


async def stale_match(client: ProbeClient) -> str:
    key = f"{client.root}stale-match"
    old = await client.put(key, client.body())
    body = client.body()
    await client.put(key, body, condition=IfMatch(old))
    await client.refused(key, stands=body, condition=IfMatch(old))
    return "refused, object unchanged"


async def match_on_missing(client: ProbeClient) -> str:
    etag = await client.put(f"{client.root}match-on-missing/other", client.body())
    await client.refused(f"{client.root}match-on-missing/none", stands=None, condition=IfMatch(etag))
    return "refused, nothing created"


async def absent_on_existing(client: ProbeClient) -> str:
    key = f"{client.root}absent-on-existing"
    body = client.body()
    await client.put(key, body, condition=IF_ABSENT)
    await client.refused(key, stands=body, condition=IF_ABSENT)
    return "refused, object unchanged"


async def absent_after_delete(client: ProbeClient) -> str:
    key = f"{client.root}absent-after-delete"
    await client.put(key, client.body(), condition=IF_ABSENT)
    await client.delete(key)
    body = client.body()
    await client.put(key, body, condition=IF_ABSENT)
    await client.refused(key, stands=body, condition=IF_ABSENT)
    return "created anew, once"


async def write_window(client: ProbeClient) -> str:
    """Plain PUT, conditional PUT and DELETE, because they may be sent differently."""
    folder = f"{client.root}write-window"
    body = client.body()
    await client.refused(f"{folder}/late", stands=None, expires=client.store.now() - MINUTE)
    await client.refused(f"{folder}/late", stands=None, condition=IF_ABSENT, expires=client.store.now() - MINUTE)
    etag = await client.put(f"{folder}/timely", body, condition=IF_ABSENT, expires=client.store.now() + MINUTE)
    await client.refused(f"{folder}/timely", stands=body, condition=IfMatch(etag), expires=client.store.now() - MINUTE)
    await client.not_deleted(f"{folder}/timely", stands=body, expires=client.store.now() - MINUTE)
    await client.put(f"{folder}/timely", client.body(), condition=IfMatch(etag), expires=client.store.now() + MINUTE)
    return "refused when over, accepted before"


async def read_after_write(client: ProbeClient) -> str:
    key = f"{client.root}read-after-write"
    etag: str | None = None
    for _ in range(4):
        body = client.body()
        etag = await client.put(key, body, condition=IfMatch(etag) if etag else IF_ABSENT)
        found = await client.read(key)
        if found is None or found.body != body:
            raise Broken("a GET after a PUT showed an older state")
        if found.etag != etag:
            raise Broken("a PUT answered another ETag than the GET after it")
    await client.delete(key)
    if await client.read(key) is not None:
        raise Broken("a GET after a DELETE still showed the object")
    return "4 writes and a delete seen at once"


async def list_after_write(client: ProbeClient) -> str:
    folder = f"{client.root}list-after-write/"
    for number in range(3):
        await client.put(f"{folder}{number}", b"")
        if len(await client.listing(folder)) != number + 1:
            raise Broken("a LIST after a PUT did not show the object")
    await client.delete(f"{folder}1")
    if [listed.key for listed in await client.listing(folder)] != [f"{folder}0", f"{folder}2"]:
        raise Broken("a LIST after a DELETE still showed the object")
    return "3 writes and a delete seen at once"


async def list_order(client: ProbeClient) -> str:
    """Byte order, and that a listing starts after `start_after` whether or not that key exists."""
    folder = f"{client.root}list-order/"
    for name in reversed(FLAT):
        await client.put(folder + name, b"")
    if _names(await _keys(client, folder), folder) != FLAT:
        raise Broken("a flat folder was not listed in the order of the keys' bytes, or not wholly")
    if _names(await _keys(client, folder, start_after=f"{folder}Z.1"), folder) != FLAT[6:]:
        raise Broken("start_after was not exclusive")
    if _names(await _keys(client, folder, start_after=f"{folder}Z"), folder) != FLAT[4:]:
        raise Broken("start_after a key that does not exist went wrong")
    if _names(await _keys(client, f"{folder}b"), folder) != FLAT[-2:]:
        raise Broken("a prefix that ends within a name went wrong")
    return "byte order; start_after is exclusive"


async def list_pages(client: ProbeClient) -> str:
    """Pages across folders, and with a delimiter."""
    folder = f"{client.root}list-pages/"
    for name in FOLDERS:
        await client.put(folder + name, b"")
    whole = await _keys(client, folder)
    if sorted(_names(whole, folder)) != sorted(FOLDERS):
        raise Broken("a listing across folders was not complete")
    for limit in (1, 2):
        if await _keys(client, folder, limit=limit) != whole:
            raise Broken(f"pages of {limit} skipped, repeated or reordered keys")
    prefixes: list[str] = []
    cursor: str | None = None
    for _ in FOLDERS:
        page = await client.patiently(partial(client.store.list, folder, cursor=cursor, delimiter=True, limit=2))
        prefixes.extend(page.prefixes)
        cursor = page.cursor
        if page.objects or cursor is None:
            break
    if sorted(prefixes) != sorted({f"{folder}{name.split('/')[0]}/" for name in FOLDERS}):
        raise Broken("a listing with delimiter did not give every folder once")
    return "complete in pages of 1 and 2, and rolled up"


async def list_across_folders(client: ProbeClient) -> str:
    """Returns the order, which is not a guarantee: `bytes` as S3 documents, or `tree`, folder by folder."""
    folder = f"{client.root}list-across-folders/"
    for name in FOLDERS:
        await client.put(folder + name, b"")
    names = _names(await _keys(client, folder), folder)
    if names == FOLDERS:
        return "bytes"
    if names == tuple(sorted(FOLDERS, key=lambda name: name.split("/"))):
        return "tree"
    raise Broken("neither in the order of bytes nor folder by folder")


async def etag_changes(client: ProbeClient) -> str:
    key = f"{client.root}etag-changes"
    one = client.body()
    if await client.put(key, one) == await client.put(key, one[:-1] + b"!"):
        raise Broken("a changed body kept its ETag")
    return "one byte changed it"


async def etag_is_of_body(client: ProbeClient) -> str:
    folder = f"{client.root}etag-is-of-body"
    body = client.body()
    if await client.put(f"{folder}/1", body) != await client.put(f"{folder}/2", body):
        raise Broken("equal bodies had different ETags")
    return "equal bodies, equal ETags"


async def delete_many(client: ProbeClient) -> str:
    folder = f"{client.root}delete-many/"
    keys = [f"{folder}{name}" for name in ("1", "2-3.4", "5_6", "stays")]
    for key in keys:
        await client.put(key, b"")
    await client.patiently(lambda: client.store.delete_many([*keys[:3], f"{folder}absent"]))
    if await _keys(client, folder) != keys[3:]:
        raise Broken("a batch delete left objects, or took others")
    return "3 of 4 deleted, an absent one ignored"


async def _keys(client: ProbeClient, prefix: str, *, start_after: str | None = None, limit: int = 1000) -> list[str]:
    return [listed.key for listed in await client.listing(prefix, start_after=start_after, limit=limit)]


def _names(keys: list[str], folder: str) -> tuple[str, ...]:
    return tuple(key.removeprefix(folder) for key in keys)
