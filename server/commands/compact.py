"""`fhirstore compact`: gives the disk back what purges and sweeps freed in an embedded store, beside servers."""

from __future__ import annotations

import sys

import msgspec

from fhirstore import Compacted, bucket_locations, compact
from fhirstore.errors import FhirStoreError
from server.settings import Settings

_FAILED = 2


def run_compact(settings: Settings, *, as_json: bool) -> int:
    """Compacts and prints. Returns 0: done. 1: a reader prevented truncation; run it again. 2: could not run."""
    try:
        places = list(bucket_locations(settings.store, settings.tenant_buckets).values()) or [settings.store]
        reports = {place: compact(place) for place in places}
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return _FAILED
    if as_json:
        sys.stdout.write(msgspec.json.encode(reports).decode() + "\n")
    else:
        sys.stdout.writelines(f"{place}: {_shown(report)}\n" for place, report in reports.items())
    return 1 if any(report.held for report in reports.values()) else 0


def _shown(report: Compacted) -> str:
    line = f"{report.before:,} bytes before, {report.after:,} after"
    return f"{line}; a reader holds the rest for now, run it again" if report.held else line
