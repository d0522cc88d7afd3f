"""`python -m conformance …`: black-box measurements and checks, of our server or anybody's."""

from __future__ import annotations

from conformance.abuse.command import abuse
from conformance.bench.command import app
from conformance.bench.resources import bench_resources
from conformance.openapi import openapi
from conformance.rest.command import rest

app.command()(rest)
app.command()(openapi)
app.command()(bench_resources)
app.command()(abuse)
app()
