"""Several PUTs at once on a store that has no cheaper way than one request, and one task, each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from fhirstore.errors import ObjectError
from fhirstore.objects.base import ObjectStore, PutAnswer, PutRequest, Written


async def put_each(store: ObjectStore, puts: Sequence[PutRequest]) -> Sequence[PutAnswer]:
    """`ObjectStore.put_many` by `put`."""
    return await asyncio.gather(
        *[answered(store.put(put.key, put.body, condition=put.condition, expires=put.expires)) for put in puts]
    )


async def answered(put: Awaitable[Written]) -> PutAnswer:
    """What a PUT answers or raises, as a value."""
    try:
        return await put
    except ObjectError as refusal:
        return refusal
