"""A process of its own: waits for a line on its standard input, then creates on a condition, many times at once.

`python -m tests.interactions.conditional_child LOCATION COUNT [ENDPOINT]`; one JSON line per round: [[id, created], …].
"""

from __future__ import annotations

import asyncio
import json
import sys

from fhirstore import FhirStore, S3Options


async def main(location: str, count: int, endpoint: str | None = None) -> None:
    """One round per line; the line is the identifier's value."""
    s3 = None if endpoint is None else S3Options(endpoint_url=endpoint, allow_http=True)
    async with FhirStore.open(location, s3=s3) as store:
        clinic = store.tenant("default")
        await clinic.search_page(clinic.query("Patient", [("_id", "warm-up")]))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await asyncio.to_thread(sys.stdin.readline):
            value = line.strip()
            patient = {"resourceType": "Patient", "identifier": [{"system": "s", "value": value}]}
            creates = (clinic.create(patient, if_none_exist=f"identifier=s|{value}") for _ in range(count))
            answers = [(version.id, version.created) for version in await asyncio.gather(*creates)]
            sys.stdout.write(json.dumps(answers) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
