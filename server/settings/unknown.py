"""Environment variables with our prefix that are not settings: a misspelt setting is refused and not ignored."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

PREFIX = "FHIRSTORE_"

# What the tests read, so that a shell set up for running them can also start a server.
READ_BY_TESTS = frozenset(
    {
        "FHIRSTORE_AWS_TEST_BUCKET",
        "FHIRSTORE_EXAMPLES",
        "FHIRSTORE_KILL_TEST_BUNDLE_RUNS",
        "FHIRSTORE_KILL_TEST_SECONDS",
        "FHIRSTORE_MINIO_TEST_BUCKET",
        "FHIRSTORE_MINIO_TEST_ENDPOINT",
        "FHIRSTORE_MINIO_TEST_KMS_KEY",
        "FHIRSTORE_RACES",
    }
)

# What commands read that are clients of a server; a shell that is set up for them can also start one.
READ_BY_COMMANDS = frozenset(
    {
        "FHIRSTORE_TOKEN",
        "FHIRSTORE_EXPORT_TOKEN",
        "FHIRSTORE_SUBMIT_TOKEN",
        "FHIRSTORE_LOAD_TOKEN",
        "FHIRSTORE_UPLOAD_TOKEN",
        "FHIRSTORE_DOWNLOAD_TOKEN",
    }
)

# What Kubernetes sets in each container where a Service is called fhirstore, or fhirstore-something:
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE = re.compile(r"FHIRSTORE_(?:\w+_)?SERVICE_(?:HOST|PORT(?:_\w+)?)")
_PROTOCOL = re.compile(r"FHIRSTORE_(?:\w+_)?PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?")
_LINK = re.compile(r"FHIRSTORE_(?:\w+_)?PORT")
_LINKED = re.compile(r"(?:tcp|udp|sctp)://\S+")


def unknown_variables(env: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Returns a sentence for each variable of `env` with our prefix that is not in `names`; it suggests the nearest."""
    known = {name.removeprefix(PREFIX): name for name in names}
    told = []
    for name in sorted(env):
        upper = name.upper()
        others = name in READ_BY_TESTS or name in READ_BY_COMMANDS or _is_service(name, env[name])
        if not upper.startswith(PREFIX) or name in names or others:
            continue
        near = difflib.get_close_matches(upper.removeprefix(PREFIX), known, n=1, cutoff=0.5)
        advice = f"did you mean {known[near[0]]}?" if near else "`fhirstore settings` lists those that exist"
        told.append(f"{name}: no such setting; {advice}")
    return told


def _is_service(name: str, value: str) -> bool:
    """Whether Kubernetes has set the variable: FHIRSTORE_PORT=tcp://… yes; FHIRSTORE_PORT=9000 is a misspelt PORT."""
    if _SERVICE.fullmatch(name) or _PROTOCOL.fullmatch(name):
        return True
    return _LINK.fullmatch(name) is not None and _LINKED.fullmatch(value) is not None
