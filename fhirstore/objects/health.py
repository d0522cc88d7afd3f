"""Whether a store can be used, and how long it takes to say so."""

from __future__ import annotations

import time

import msgspec

from fhirstore.clock import Ids, SystemIds
from fhirstore.errors import ObjectDamaged, ObjectError
from fhirstore.objects.base import ObjectStore

_PLACE = "_probe/"  # the folder of `objects.probe`, which removes leftovers


class StoreHealth(msgspec.Struct, frozen=True):
    """The state of a store. `detail`: "" where it is well, else one line that says what to do.

    `milliseconds`: until it answered. `now`: the store's time, epoch ms.
    """

    location: str
    well: bool
    detail: str
    milliseconds: float
    now: int


async def health(objects: ObjectStore, *, write: bool = False, ids: Ids | None = None) -> StoreHealth:
    """Returns whether the store is there and, with `write`, takes an object, gives it back and removes it.

    One request, or four. Raises nothing of the ObjectError family: such an error is the answer.
    """
    began = time.monotonic()
    detail = ""
    try:
        await objects.check()
        if write:
            await _write_and_read(objects, f"{_PLACE}{(ids or SystemIds()).new()}/health")
    except ObjectError as error:
        detail = str(error)
    return StoreHealth(objects.location, not detail, detail, (time.monotonic() - began) * 1000, objects.now())


async def _write_and_read(objects: ObjectStore, key: str) -> None:
    body = key.encode()
    await objects.put(key, body)
    try:
        if (await objects.get(key)).body != body:
            raise ObjectDamaged(key, "the store gave back other bytes than it was given")
    finally:
        await objects.delete(key)
