"""The commands that send data to a server, or get data from it: `load`, `export`, `submit`, `upload`, `download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from server.command_line.options import AsJson, ProgressEvery, Store, fail, settings_for, token_for

commands = typer.Typer()


@commands.command()
def load(  # noqa: PLR0917 - a command's parameters are its options
    paths: Annotated[list[Path], typer.Argument(help="JSON and NDJSON files, or folders of them.")],
    url: Annotated[str, typer.Option(help="FHIR base URL.")] = "http://127.0.0.1:8000/fhir",
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 16,
    tenant: Annotated[str | None, typer.Option(help="Sent as X-Tenant-ID.")] = None,
    bundles: Annotated[str, typer.Option(help="Batches and transactions: process, entries or whole.")] = "process",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Send resources to a FHIR server; exit code 1 if any failed, 130 or 143 if interrupted.

    The environment variable FHIRSTORE_TOKEN is sent as a bearer token.
    """
    from server.commands.load import run_load

    code = run_load(
        paths,
        url,
        concurrency=concurrency,
        tenant=tenant,
        bundles=bundles,
        token=token_for("LOAD"),
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@commands.command()
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
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Export a FHIR server's data as NDJSON; exit code 1 if anything is missing, 130 or 143 if interrupted.

    Run again with the same options, it goes on where it stopped; Ctrl-C cancels the export on the server, too. The
    environment variable FHIRSTORE_EXPORT_TOKEN, or FHIRSTORE_TOKEN, is sent to the server, and to no other, as a bearer
    token.
    """
    from server.commands.export import Order, run_export
    from server.commands.export.job import METHODS

    if group is not None and patient:
        fail("--group and --patient: only one of them")
    if (chosen := next((each for each in METHODS if each == method), None)) is None:
        fail(f"--method: one of {', '.join(METHODS)}")
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
        token=token_for("EXPORT"),
        method=chosen,
        concurrency=concurrency,
        keep=keep,
        deadline=deadline,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@commands.command()
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
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Submit NDJSON in bulk; exit code 1 if lines were refused, 2 if it could not run, 130 or 143 if interrupted.

    Interrupted or killed, it stays as it is: the same command goes on with it, and --stop takes it back. The
    environment variable FHIRSTORE_SUBMIT_TOKEN, or FHIRSTORE_TOKEN, is sent to the server of --url, and to no other, as
    a bearer token.
    """
    from server.commands.submit import CannotSubmit, run_submit
    from server.commands.submit.order import order_of

    if url is None and (submission_id is not None or serve_at is not None):
        fail("--submission-id and --serve: only with --url")
    if url is not None and store is not None:
        fail("--url and --store: only one of them")
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
        fail(str(error))
    code = run_submit(
        order,
        settings_for(store) if url is None else None,
        url=url,
        token=token_for("SUBMIT"),
        serve=serve_at,
        stop=stop,
        deadline=deadline,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@commands.command()
def upload(  # noqa: PLR0917 - a command's parameters are its options
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file.")],
    server: Annotated[str, typer.Option(help="FHIR base URL of a server.")] = "http://127.0.0.1:8000/fhir",
    store: Annotated[
        str | None, typer.Option("--store", help="Straight into this store: file:DIR or s3://bucket/prefix.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Sent as X-Tenant-ID; with --store whose Binary it becomes, default: default.")
    ] = None,
    content_type: Annotated[
        str | None, typer.Option("--type", help="Content type; default: by the ending of the file's name.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Parts at once, 8 MiB each.")] = 4,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Make a Binary of a file of any size; exit code 1 if it is none, 130 or 143 if interrupted.

    Run again, it goes on where it stopped: the id of the upload is kept in FILE.upload.json until it is done. The
    environment variable FHIRSTORE_TOKEN is sent to the server as a bearer token.
    """
    from server.commands.transfer import run_upload

    code = run_upload(
        file,
        None if store is None else settings_for(store),
        server=server,
        tenant=tenant,
        token=token_for("UPLOAD"),
        content_type=content_type,
        concurrency=concurrency,
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)


@commands.command()
def download(  # noqa: PLR0917 - a command's parameters are its options
    reference: Annotated[str, typer.Argument(metavar="Binary/ID", help="The Binary.")],
    file: Annotated[Path, typer.Argument(dir_okay=False, help="The file to write.")],
    server: Annotated[str, typer.Option(help="FHIR base URL of a server.")] = "http://127.0.0.1:8000/fhir",
    store: Annotated[
        str | None, typer.Option("--store", help="Straight from this store: file:DIR or s3://bucket/prefix.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Sent as X-Tenant-ID; with --store whose Binary it is, default: default.")
    ] = None,
    as_json: AsJson = False,
    progress_every: ProgressEvery = 5.0,
) -> None:
    """Write the content of a Binary to a file; exit code 1 if it is not whole, 130 or 143 if interrupted.

    Run again, it goes on where it stopped, from FILE.part. The file appears when it is whole and has the right SHA-256.
    The environment variable FHIRSTORE_TOKEN is sent to the server as a bearer token.
    """
    from server.commands.transfer import run_download

    code = run_download(
        reference,
        file,
        None if store is None else settings_for(store),
        server=server,
        tenant=tenant,
        token=token_for("DOWNLOAD"),
        as_json=as_json,
        progress_every=progress_every,
    )
    raise typer.Exit(code)
