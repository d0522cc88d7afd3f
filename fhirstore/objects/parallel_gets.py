"""`get_many` for stores that have no cheaper way than one request for each GET."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fhirstore.errors import ObjectError
from fhirstore.objects.base import GetAnswer, ObjectStore


async def get_each(store: ObjectStore, keys: Sequence[str]) -> Sequence[GetAnswer]:
    """Returns the answers of `ObjectStore.get` to all of them.

    They are sent in parallel, but for a store in this process, which would not be quicker: tasks cost more than a read.
    """
    if store.decides_together:
        return [await get_answered(store, key) for key in keys]
    return await asyncio.gather(*[get_answered(store, key) for key in keys])


async def get_answered(store: ObjectStore, key: str) -> GetAnswer:
    """Returns what a GET answers or raises, as a value."""
    try:
        return await store.get(key)
    except ObjectError as refusal:
        return refusal
