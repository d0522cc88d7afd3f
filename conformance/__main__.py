"""`python -m conformance …`: black-box checks and measurements, of our server or anybody's."""

from __future__ import annotations

import typer

from conformance.abuse.command import abuse
from conformance.hostile.command import hostile
from conformance.openapi import openapi
from conformance.overload.command import overload
from conformance.population.command import population
from conformance.rates.command import rates

try:
    from conformance.bench.command import export
    from conformance.bench.search.command import search
    from conformance.bulk.command import bulk
    from conformance.rest.command import rest
except ModuleNotFoundError as missing:
    raise SystemExit(f"{missing.name} is not installed: pip install 'fhirstore[conformance]'") from missing

app = typer.Typer(name="conformance", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


bench = typer.Typer(name="bench", no_args_is_help=True, help="Measure long work of `fhirstore serve`.")


@bench.callback()
def _bench() -> None:
    """Measure long work of `fhirstore serve`."""


bench.command()(export)
bench.command()(search)


@app.callback()
def conformance() -> None:
    """Check and measure a FHIR server from outside."""


app.command()(rest)
app.command()(bulk)
app.command()(openapi)
app.command()(rates)
app.command()(population)
app.add_typer(bench)
app.command()(abuse)
app.command()(overload)
app.command()(hostile)
app()
