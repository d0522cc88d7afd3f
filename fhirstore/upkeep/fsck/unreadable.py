"""Listings that continue behind damage: fsck reports that a part cannot be read, and checks the rest."""

from __future__ import annotations

from msgspec.structs import replace

from fhirstore.commit.idempotent import listed
from fhirstore.commit.messages import List, Protocol
from fhirstore.errors import StoreDamaged
from fhirstore.objects.base import Page


def listed_behind_damage(request: List, lost: list[str]) -> Protocol[Page]:
    """Returns the next page of a listing that can be read; `lost` gets the prefix for each that cannot.

    Raises Unavailable.
    """
    while True:
        try:
            return (yield from listed(request))
        except StoreDamaged as damage:
            lost.append(request.prefix)
            reached = max(request.cursor or "", request.start_after or "", request.prefix)
            if damage.resume is None or damage.resume <= reached:  # it would be listed again and again
                return Page((), (), None)
            request = replace(request, start_after=None, cursor=damage.resume)
