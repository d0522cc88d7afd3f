"""`fhirstore lifecycle`: the rules of buckets."""

from __future__ import annotations

from typing import Annotated

import typer

from server.command_line.options import AsJson, Store, Tenant, fail, settings_for

commands = typer.Typer(
    help="The rules by which a bucket archives versions, and deletes exports and what was left.", no_args_is_help=True
)

Cors = Annotated[bool, typer.Option("--cors", help="The CORS rules for FHIRSTORE_CORS_ORIGINS instead.")]
StorageClass = Annotated[
    str, typer.Option(metavar="CLASS", help="Where old versions go; on MinIO the name of a remote tier.")
]
ArchiveAbove = Annotated[
    int, typer.Option(min=1, metavar="BYTES", help="Smaller versions stay: archived, they cost more for years.")
]
Uploads = Annotated[
    bool,
    typer.Option(
        "--uploads/--no-uploads", help="The rule that aborts uploads; not for MinIO, which refuses it, and aborts them."
    ),
]


@commands.command(name="print")
def print_(  # noqa: PLR0917 - a command's parameters are its options
    store: Store = None,
    tenant: Tenant = None,
    cors: Cors = False,
    terraform: Annotated[bool, typer.Option("--terraform", help="Print Terraform instead of JSON.")] = False,
    storage_class: StorageClass = "DEEP_ARCHIVE",
    archive_above: ArchiveAbove = 131_072,
    uploads: Uploads = True,
    as_json: AsJson = False,
) -> None:
    """Print the rules as `aws s3api put-bucket-lifecycle-configuration` takes them. Sends nothing to the bucket."""
    if terraform and as_json:
        fail("--terraform and --json: only one of them")
    from server.commands.lifecycle import Order, run_lifecycle

    form = "terraform" if terraform else "json"
    order = Order("print", cors, tenant, form, storage_class, archive_above, uploads=uploads)
    raise typer.Exit(run_lifecycle(settings_for(store), order))


@commands.command()
def apply(  # noqa: PLR0917 - a command's parameters are its options
    store: Store = None,
    tenant: Tenant = None,
    cors: Cors = False,
    storage_class: StorageClass = "DEEP_ARCHIVE",
    archive_above: ArchiveAbove = 131_072,
    uploads: Uploads = True,
    as_json: AsJson = False,
) -> None:
    """Set the rules, beside those of others. Exit code 1 if the bucket did not keep them, 2 if it refused them."""
    from server.commands.lifecycle import Order, run_lifecycle

    order = Order("apply", cors, tenant, "json" if as_json else "text", storage_class, archive_above, uploads=uploads)
    raise typer.Exit(run_lifecycle(settings_for(store), order))


@commands.command()
def check(  # noqa: PLR0917 - a command's parameters are its options
    store: Store = None,
    tenant: Tenant = None,
    cors: Cors = False,
    storage_class: StorageClass = "DEEP_ARCHIVE",
    archive_above: ArchiveAbove = 131_072,
    uploads: Uploads = True,
    as_json: AsJson = False,
) -> None:
    """Compare the bucket's rules with these. Exit code 1 if they differ, 2 if they cannot be read."""
    from server.commands.lifecycle import Order, run_lifecycle

    order = Order("check", cors, tenant, "json" if as_json else "text", storage_class, archive_above, uploads=uploads)
    raise typer.Exit(run_lifecycle(settings_for(store), order))
