"""`fhirstore bucket create`: makes the bucket of a store, for use on one's own machine or network."""

from __future__ import annotations

import asyncio
import sys

import msgspec

from fhirstore.errors import FhirStoreError
from fhirstore.objects import create_bucket
from server.commands.each_tenant import FAILED
from server.settings import Settings

_ON_AWS = (
    "without FHIRSTORE_S3_ENDPOINT_URL this would make a bucket on AWS with its defaults: no versioning, no lifecycle, "
    "no policy. Make it by docker/terraform, which sets them, or say --yes"
)


def run_create(settings: Settings, *, confirmed: bool, as_json: bool) -> int:
    """Makes the bucket, and says what to do next. Returns 0, also where it is there already; 2: it cannot be made."""
    if settings.s3_endpoint_url is None and not confirmed and settings.store.startswith("s3:"):
        sys.stderr.write(f"fhirstore: {_ON_AWS}\n")
        return FAILED
    try:
        made = asyncio.run(create_bucket(settings.store, s3=settings.s3))
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
    if as_json:
        sys.stdout.write(msgspec.json.encode({"store": settings.store, "created": made}).decode() + "\n")
    else:
        there = "made" if made else "there already"
        sys.stdout.write(
            f"{settings.store}: the bucket is {there}; versioning and encryption are left as they are\n"
            f"next: fhirstore probe --store {settings.store}   and then: fhirstore serve --store {settings.store}\n"
        )
    return 0
