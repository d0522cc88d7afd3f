"""`fhirstore compact`: give what purges and sweeps freed back to the disk, beside running servers."""

from __future__ import annotations

import sys

import msgspec

from fhirstore import Compacted, compact
from fhirstore.errors import FhirStoreError
from server.settings import Settings

_FAILED = 2


def run_compact(settings: Settings, *, as_json: bool) -> int:
    """Compact and print. 0: done. 1: a reader kept the file from being cut; do it again. 2: could not be done."""
    try:
        done = [(place, compact(place)) for place in [settings.store, *dict(settings.tenant_buckets or {}).values()]]
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return _FAILED
    if as_json:
        sys.stdout.write(msgspec.json.encode({place: msgspec.to_builtins(report) for place, report in done}).decode())
        sys.stdout.write("\n")
    else:
        for place, report in done:
            sys.stdout.write(f"{place}: {_shown(report)}\n")
    return 1 if any(report.held for _, report in done) else 0


def _shown(report: Compacted) -> str:
    line = f"{report.before:,} bytes before, {report.after:,} after"
    return f"{line}; a reader holds the rest for now, run it again" if report.held else line
