"""Listings that go on behind what is damaged: fsck tells that something is lost there, and checks the rest."""

from __future__ import annotations

from msgspec.structs import replace

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.errors import StoreDamaged
from fhirstore.objects.base import Page


def listed_behind_damage(request: List, lost: list[str]) -> Protocol[Page]:
    """One page of a listing, the first that can be read; `lost` gets the prefix where one before could not.

    Raises Unavailable.
    """
    while True:
        try:
            return (yield from listed(request))
        except StoreDamaged as damage:
            lost.append(request.prefix)
            if damage.resume is None:
                return Page((), (), None)
            request = replace(request, start_after=None, cursor=damage.resume)
