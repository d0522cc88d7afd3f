"""`python -m conformance …`: black-box measurements, against our server or anybody's."""

from __future__ import annotations

from conformance.bench.command import app

app()
