"""The commands that serve a store, and say what serving needs: `serve`, `worker`, `probe`, `settings`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Annotated

import typer

from fhirstore import ProbeReport, open_objects, render_probe
from fhirstore import probe as probe_store
from fhirstore.errors import FhirStoreError
from server.command_line.options import Store, fail, read_settings, settings_for

commands = typer.Typer()


@commands.command()
def serve(
    store: Store = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: HOST, then 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0: any free one; default: PORT, then 8000.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the store.")] = 1,
    unsafe_single_writer: Annotated[
        bool, typer.Option("--unsafe-single-writer", help="Serve from a store that fails the probe; one process only.")
    ] = False,
) -> None:
    """Serve the FHIR API."""
    from server.commands.serve import CannotStart
    from server.commands.serve import serve as run

    # Worker processes read their settings from the environment, so that is where the options go.
    options = {"FHIRSTORE_STORE": store, "HOST": host, "PORT": None if port is None else str(port)}
    os.environ.update({name: value for name, value in options.items() if value is not None})
    if unsafe_single_writer:
        os.environ["FHIRSTORE_UNSAFE_SINGLE_WRITER"] = "true"
    settings = read_settings()
    try:
        run(settings, host=settings.host, port=settings.port, workers=workers)
    except CannotStart as error:
        fail(str(error))


@commands.command()
def worker(
    store: Store = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between the beginnings of two sweeps.")] = 60.0,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="Answer GET /metrics at this port of 127.0.0.1, or HOST:PORT; FHIRSTORE_METRICS is not used."
        ),
    ] = None,
) -> None:
    """Run jobs and sweep all tenants, over and over, beside the servers; ends on SIGTERM."""
    from server.commands.worker import run_worker
    from server.settings.values import listening

    try:
        address = None if metrics is None else listening(metrics)
    except ValueError as error:
        fail(f"--metrics: {error}")
    raise typer.Exit(run_worker(settings_for(store), every=every, metrics=address))


@commands.command()
def probe(
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Race conditional writes on a store; exit code 0 only if it is safe for several writers."""

    settings = read_settings()

    async def go() -> ProbeReport:
        location = store or settings.store
        objects = await open_objects(location, s3=settings.s3, create=location == "memory:")
        try:
            await objects.check()
            return await probe_store(objects, thorough=True)
        finally:
            await objects.aclose()

    try:
        report = asyncio.run(go())
    except FhirStoreError as error:
        fail(str(error))
    typer.echo(json.dumps(report.as_json(), indent=2) if as_json else render_probe(report))
    raise typer.Exit(0 if report.safe else 1)


@commands.command()
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """List the environment variables that a server reads, with default and meaning."""
    from server.commands.settings import run_settings

    run_settings("json" if as_json else "markdown" if markdown else "text")
