"""The yardstick of an export: plain GETs of the same objects by obstore, and nothing around them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import obstore
from obstore.store import LocalStore, S3Store

from conformance.rates.patients import patients, with_id


def current_key(id_: str, *, tenant: str = "default") -> str:
    """Where a store has the current version of a Patient (docs/format.md)."""
    return f"{tenant}/resources/Patient/{id_}/current.json"


def files(ids: Sequence[str], folder: Path) -> LocalStore:
    """Files with the content of such objects, under the same keys."""
    for id_, patient in zip(ids, patients(), strict=False):
        path = folder / current_key(id_)
        path.parent.mkdir(parents=True)
        path.write_bytes(with_id(patient, id_))
    return LocalStore(folder)


async def rate_of_gets(store: S3Store | LocalStore, ids: Iterable[str], *, at_once: int) -> float:
    """GETs each object once, `at_once` at a time. Returns GETs per second. Raises what obstore does."""
    keys: Iterator[str] = map(current_key, ids)
    done = 0
    began = time.perf_counter()

    async def keep_getting() -> None:
        nonlocal done
        for key in keys:
            answer = await obstore.get_async(store, key)
            await answer.bytes_async()
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(keep_getting())
    return done / (time.perf_counter() - began)
