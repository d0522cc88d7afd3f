"""`put_many` for stores that have no cheaper way than one request, and one task, for each PUT."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fhirstore.errors import ObjectError
from fhirstore.objects.base import ObjectStore, PutAnswer, PutRequest


async def put_each(store: ObjectStore, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
    """Returns the answers of `ObjectStore.put` to all of them, sent in parallel."""
    return await asyncio.gather(*[put_answered(store, put) for put in puts])


async def put_answered(store: ObjectStore, put: PutRequest) -> PutAnswer:
    """Returns what a PUT answers or raises, as a value."""
    try:
        return await store.put(put.key, put.body, condition=put.condition, expires=put.expires, facts=put.facts)
    except ObjectError as refusal:
        return refusal
