"""The command line. The help of each command says its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from fhirstore import ProbeReport, __version__, open_objects, render_probe
from fhirstore import probe as probe_store
from fhirstore.errors import FhirStoreError
from server.settings import BadSetting, Settings, from_environment

app = typer.Typer(
    name="fhirstore",
    help="FHIR R4 on object storage.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Store = Annotated[
    str | None,
    typer.Option("--store", help="file:DIR, memory: or s3://bucket/prefix; default: FHIRSTORE_STORE, then file:./data"),
]


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """FHIR R4 on object storage."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
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
    settings = _settings()
    try:
        run(settings, host=settings.host, port=settings.port, workers=workers)
    except CannotStart as error:
        _fail(str(error))


@app.command()
def probe(
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Race conditional writes on a store; exit code 0 only if it is safe for several writers."""

    settings = _settings()

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
        _fail(str(error))
    typer.echo(json.dumps(report.as_json(), indent=2) if as_json else render_probe(report))
    raise typer.Exit(0 if report.safe else 1)


@app.command()
def load(  # noqa: PLR0917 - a command's parameters are its options
    paths: Annotated[list[Path], typer.Argument(help="JSON and NDJSON files, or folders of them.")],
    url: Annotated[str, typer.Option(help="FHIR base URL.")] = "http://127.0.0.1:8000/fhir",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    tenant: Annotated[str | None, typer.Option(help="Sent as X-Tenant-ID.")] = None,
    bundles: Annotated[str, typer.Option(help="Batches and transactions: process, entries or whole.")] = "process",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    progress_every: Annotated[
        float, typer.Option(min=0, help="Seconds between lines of progress where there is no terminal; 0: none.")
    ] = 5.0,
) -> None:
    """Send resources to a FHIR server; exit code 1 if any failed, 130 or 143 if interrupted."""
    from server.commands.load import run_load

    code = run_load(
        paths,
        url,
        concurrency=concurrency,
        tenant=tenant,
        bundles=bundles,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@app.command()
def export(  # noqa: PLR0917 - a command's parameters are its options
    out: Annotated[Path, typer.Option(help="Folder for the files: a new or empty one, or that of a broken export.")],
    url: Annotated[str, typer.Option(help="FHIR base URL.")] = "http://127.0.0.1:8000/fhir",
    group: Annotated[str | None, typer.Option(help="Id of a Group: export its members.")] = None,
    patient: Annotated[bool, typer.Option("--patient", help="Export all patients; default: the whole system.")] = False,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Resource types, repeated or separated by commas.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only what changed after this instant.")] = None,
    since_file: Annotated[
        Path | None, typer.Option(help="File that holds --since, and gets the time of this export for the next one.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only what changed before this instant.")] = None,
    type_filter: Annotated[
        list[str] | None, typer.Option(help="A search, such as Observation?status=final; may be repeated.")
    ] = None,
    elements: Annotated[list[str] | None, typer.Option(help="Root elements, such as Patient.name.")] = None,
    method: Annotated[
        str, typer.Option(help="How to start it: get, post, or auto, which posts where it must.")
    ] = "auto",
    partial: Annotated[bool, typer.Option("--partial", help="Let the server list files before all are there.")] = False,
    lenient: Annotated[bool, typer.Option("--lenient", help="Let the server pass over what it does not know.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the job on the server when all is here.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Downloads at once.")] = 4,
    tenant: Annotated[str | None, typer.Option(help="Sent as X-Tenant-ID.")] = None,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds for all of it.")] = 86_400.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    progress_every: Annotated[
        float, typer.Option(min=0, help="Seconds between lines of progress where there is no terminal; 0: none.")
    ] = 5.0,
) -> None:
    """Export a FHIR server's data as NDJSON; exit code 1 if anything is missing, 130 or 143 if interrupted.

    Run again with the same options, it goes on where it stopped; Ctrl-C cancels the export on the server, too. The
    environment variable FHIRSTORE_EXPORT_TOKEN is sent to the server, and to no other, as a bearer token.
    """
    from server.commands.export import Order, run_export
    from server.commands.export.job import METHODS

    if group is not None and patient:
        _fail("--group and --patient: only one of them")
    if (chosen := next((each for each in METHODS if each == method), None)) is None:
        _fail(f"--method: one of {', '.join(METHODS)}")
    order = Order(
        base=url,
        level="group" if group is not None else "patient" if patient else "system",
        group=group,
        types=tuple(types or ()),
        since=since,
        until=until,
        type_filters=tuple(type_filter or ()),
        elements=tuple(elements or ()),
        partial=partial,
        lenient=lenient,
        tenant=tenant,
    )
    code = run_export(
        order,
        out,
        since_file=since_file,
        token=os.environ.get("FHIRSTORE_EXPORT_TOKEN") or None,
        method=chosen,
        concurrency=concurrency,
        keep=keep,
        deadline=deadline,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@app.command()
def submit(  # noqa: PLR0917 - a command's parameters are its options
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH|URL...",
            help="NDJSON files, folders of them, manifests (.json); URLs of manifests or NDJSON files.",
        ),
    ],
    url: Annotated[
        str | None, typer.Option(help="FHIR base URL of a server; default: straight into the store.")
    ] = None,
    store: Store = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose data it becomes; with --url sent as X-Tenant-ID. Default: default.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="replace (the default), merge-patch, create-only or skip-unchanged.")
    ] = None,
    ids: Annotated[str | None, typer.Option(help="keep (the default) the ids of the source, or remap them.")] = None,
    fhir_base_url: Annotated[
        str | None, typer.Option(help="FHIR base URL of the source: absolute references below it are its own.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Another host, as name or name:port, that a manifest may name.")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Hosts may be on a private network, and speak plain http.")
    ] = False,
    submitter: Annotated[str | None, typer.Option(help="Identifier of the submitter, as system|value.")] = None,
    submission_id: Annotated[
        str | None, typer.Option(help="With --url: id of the submission; that of an earlier one goes on with it.")
    ] = None,
    serve_at: Annotated[
        str | None,
        typer.Option(
            "--serve",
            metavar="HOST[:PORT]",
            help="With --url: address of this machine where the server fetches local files.",
        ),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Take back what this command, unfinished, has written so far.")
    ] = False,
    deadline: Annotated[float, typer.Option(min=1, help="Seconds for all of it.")] = 86_400.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    progress_every: Annotated[
        float, typer.Option(min=0, help="Seconds between lines of progress where there is no terminal; 0: none.")
    ] = 5.0,
) -> None:
    """Submit NDJSON in bulk; exit code 1 if lines were refused, 2 if it could not run, 130 or 143 if interrupted.

    Interrupted or killed, it stays as it is: the same command goes on with it, and --stop takes it back. The
    environment variable FHIRSTORE_SUBMIT_TOKEN is sent to the server of --url, and to no other, as a bearer token.
    """
    from server.commands.submit import CannotSubmit, run_submit
    from server.commands.submit.order import order_of

    if url is None and (submission_id is not None or serve_at is not None):
        _fail("--submission-id and --serve: only with --url")
    if url is not None and store is not None:
        _fail("--url and --store: only one of them")
    try:
        order = order_of(
            paths,
            mode=mode,
            ids=ids,
            base=fhir_base_url,
            submitter=submitter,
            submission=submission_id,
            tenant=tenant,
            hosts=tuple(allow_host or ()),
            private=private,
        )
    except CannotSubmit as error:
        _fail(str(error))
    code = run_submit(
        order,
        _settings_for(store) if url is None else None,
        url=url,
        token=os.environ.get("FHIRSTORE_SUBMIT_TOKEN") or None,
        serve=serve_at,
        stop=stop,
        deadline=deadline,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this one; default: all that are configured.")]


@app.command()
def sweep(
    store: Store = None,
    tenant: Tenant = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Remove what writers that died left behind; safe beside live servers. Exit code 1 if something had to stay."""
    from server.commands.sweep import run_sweep

    raise typer.Exit(run_sweep(_settings_for(store), tenant=tenant, as_json=as_json))


@app.command()
def worker(
    store: Store = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between the beginnings of two sweeps.")] = 60.0,
) -> None:
    """Run jobs and sweep all tenants, over and over, beside the servers; ends on SIGTERM."""
    from server.commands.worker import run_worker

    raise typer.Exit(run_worker(_settings_for(store), every=every))


@app.command()
def fsck(
    store: Store = None,
    tenant: Tenant = None,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every version, not only the current ones.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be; without it nothing changes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the reports as JSON.")] = False,
) -> None:
    """Check everything that is stored, beside live servers. Exit code 1 if damage was found, 2 if it could not run."""
    from server.commands.fsck import run_fsck

    raise typer.Exit(run_fsck(_settings_for(store), tenant=tenant, deep=deep, repair=repair, as_json=as_json))


@app.command()
def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
) -> None:
    """List the environment variables that a server reads, with default and meaning."""
    from server.commands.settings import run_settings

    run_settings("json" if as_json else "markdown" if markdown else "text")


@app.command()
def compact(
    store: Store = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the sizes as JSON.")] = False,
) -> None:
    """Give the disk back what was freed in an embedded store; safe beside live servers. Exit code 1: do it again."""
    from server.commands.compact import run_compact

    raise typer.Exit(run_compact(_settings_for(store), as_json=as_json))


jobs = typer.Typer(help="Look at the jobs in a store: exports and the like.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")

JobId = Annotated[str, typer.Argument(help="The job's id.", metavar="ID")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@jobs.command()
def ls(
    store: Store = None,
    tenant: Tenant = None,
    kind: Annotated[str | None, typer.Option("--kind", help="Only jobs of this kind, like export.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, the live ones first. Exit code 2 if the store cannot be read."""
    from server.commands.jobs import list_jobs

    raise typer.Exit(list_jobs(_settings_for(store), tenant=tenant, kind=kind, as_json=as_json))


@jobs.command()
def show(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Show one job. Exit code 1 if there is none, 2 if the store cannot be read."""
    from server.commands.jobs import show_job

    raise typer.Exit(show_job(_settings_for(store), id, tenant=tenant, as_json=as_json))


@jobs.command()
def logs(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Print a job's log, also while it runs. Exit code 1 if there is no such job, 2 if the store cannot be read."""
    from server.commands.jobs import show_log

    raise typer.Exit(show_log(_settings_for(store), id, tenant=tenant, as_json=as_json))


@jobs.command()
def files(
    id: JobId,
    store: Store = None,
    tenant: Tenant = None,
    urls: Annotated[bool, typer.Option("--urls", help="With URLs that are valid for an hour, on S3.")] = False,
    as_json: AsJson = False,
) -> None:
    """List a job's files. Exit code 1 if there is no such job, 2 if the store cannot be read."""
    from server.commands.jobs import show_files

    raise typer.Exit(show_files(_settings_for(store), id, tenant=tenant, urls=urls, as_json=as_json))


@jobs.command()
def cancel(id: JobId, store: Store = None, tenant: Tenant = None, as_json: AsJson = False) -> None:
    """Cancel a live job and remove its files. Exit code 1 if there is none, or it has ended; 2 if it cannot be done."""
    from server.commands.jobs import cancel_job

    raise typer.Exit(cancel_job(_settings_for(store), id, tenant=tenant, as_json=as_json))


def main() -> None:
    """The `fhirstore` command."""
    app()


def _settings(*, serving: bool = True) -> Settings:
    try:
        return from_environment(os.environ, serving=serving)
    except BadSetting as error:
        _fail(str(error))


def _settings_for(store: str | None) -> Settings:
    """The settings of a command that looks after a store, and answers no requests."""
    settings = _settings(serving=False)
    return settings if store is None else replace(settings, store=store)


def _fail(message: str) -> NoReturn:
    print(f"fhirstore: {message}", file=sys.stderr)  # noqa: T201 - the error message of the command
    raise SystemExit(2)
