"""`python -m conformance.overload.flood BASE_URL TENANT CONNECTIONS SECONDS`: creates without a pause.

It says on one line of standard output what came of it, as JSON. It does not heed `Retry-After`: it is the flood.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys

from conformance.rates.load import Target, offer

PATIENT = b'{"resourceType":"Patient","name":[{"family":"Flood","given":["One"]}],"birthDate":"1974-12-25"}'


def creation(target: Target, tenant: str) -> bytes:
    """A create, as it goes over the wire."""
    headers = {"Content-Type": "application/fhir+json", "X-Tenant-ID": tenant}
    return target.request("POST", "/Patient", PATIENT, headers)


def main(url: str, tenant: str, connections: int, seconds: float) -> None:
    """Floods, and says what came of it."""
    target = Target.of(url)
    requests = itertools.repeat(creation(target, tenant))
    tally = asyncio.run(offer(target, requests, connections=connections, seconds=seconds, keep_locations=True))
    json.dump({"statuses": tally.statuses, "seconds": tally.seconds, "locations": tally.locations}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
