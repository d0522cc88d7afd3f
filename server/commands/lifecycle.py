"""`fhirstore lifecycle`: the rules by which buckets move, delete and abort what a store leaves to them.

`print` shows them, `apply` sets them beside the rules of others, `check` compares. With `--cors` the same for the CORS
rules by which web pages upload.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhirstore import (
    Retention,
    SubmitOptions,
    bucket_locations,
    cors_rules,
    lifecycle_rules,
    merged_rules,
    rule_differences,
)
from fhirstore.errors import FhirStoreError, RequestRefused, StoreCannot, StoreMisconfigured
from fhirstore.objects import Bucket, Rule, open_bucket
from server.commands.each_tenant import FAILED
from server.commands.terraform import as_terraform
from server.process.deployment import open_store
from server.settings import Settings

Action: TypeAlias = Literal["print", "apply", "check"]
_ABORT = "AbortIncompleteMultipartUpload"
_DAY = 86_400  # seconds
_LONGER = 143  # days that a rule waits beyond that: raw lines of a submission that is still open must stay


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `form`: text, json or terraform. `storage_class`, `archive_above`: as in `Retention`.

    `uploads`: with the rule that aborts uploads which nobody completes.
    """

    action: Action
    cors: bool = False
    tenant: str | None = None
    form: str = "text"
    storage_class: str = "DEEP_ARCHIVE"
    archive_above: int = Retention().archive_above
    uploads: bool = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """The rules of the store at `location`."""

    location: str
    root: str
    rules: list[Rule]


def run_lifecycle(settings: Settings, order: Order) -> int:
    """Does it. Returns 0; 1: `check` found a difference, or the bucket did not keep what `apply` set; 2: failed."""
    try:
        if not settings.store.startswith("s3:"):
            return _without_bucket(settings, order)
        wrong = _misfits(settings)
        for line in wrong:
            sys.stderr.write(f"fhirstore: {line}\n")
        if wrong and order.action == "apply":
            return FAILED
        wanted = asyncio.run(_wanted(settings, order))
        if order.action == "print":
            return _print(wanted, order)
        found = asyncio.run(_each(settings, order, wanted))
    except FhirStoreError as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
    _tell(found, order)
    return 1 if wrong or any(found.values()) else 0


# --- what is wanted -----------------------------------------------------------------------------------------


def retention_of(settings: Settings, tenant: str | None, order: Order) -> Retention:
    """Returns how long a tenant's objects stay; None: those of a tenant that has no table of its own."""
    of_tenant = settings.settings_of(tenant or "")
    kept = -(-settings.export_expiry // _DAY) + 1  # the server removes them sooner; the rule holds without a server
    return Retention(
        archive_after=of_tenant.archive_after_days,
        exports=of_tenant.exports_expire_after_days or kept,
        submissions=SubmitOptions().keep // (1000 * _DAY) + SubmitOptions().idle // (1000 * _DAY) + _LONGER,
        audit=of_tenant.audit_expires_after_days if settings.audit_store is None else None,
        storage_class=order.storage_class,
        archive_above=order.archive_above,
    )


async def _wanted(settings: Settings, order: Order) -> list[Wanted]:
    """Returns the rules of every bucket. Raises UnknownTenant, StoreMisconfigured."""
    if settings.tenant_buckets:
        chosen = {**settings.tenant_buckets}
        if order.tenant is not None:
            if order.tenant not in chosen:
                raise StoreMisconfigured(detail=f"no tenant {order.tenant!r} here (FHIRSTORE_TENANT_BUCKETS)")
            chosen = {order.tenant: chosen[order.tenant]}
        places = bucket_locations(settings.store, chosen)
        return [_of(location, settings, order, {}, tenant) for tenant, location in places.items()]
    if order.tenant is not None and order.action == "apply":
        raise StoreMisconfigured(detail="--tenant: the tenants share one bucket; apply the rules of all of them")
    own: Mapping[str, Retention] = {}
    default = retention_of(settings, None, order)
    if settings.tenant_tables.keys() - {"default"} or order.tenant is not None:
        own = {name: retention_of(settings, name, order) for name in await _names(settings)}
        if order.tenant is not None:
            if order.tenant not in own:
                raise StoreMisconfigured(detail=f"no tenant {order.tenant!r} here (FHIRSTORE_TENANTS)")
            own = {order.tenant: own[order.tenant]}
        elif all(retention == default for retention in own.values()):
            own = {}
    return [_of(settings.store, settings, order, own, None)]


def _of(
    location: str, settings: Settings, order: Order, tenants: Mapping[str, Retention], tenant: str | None
) -> Wanted:
    _, _, prefix = location.removeprefix("s3://").partition("/")
    root = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    if order.cors:
        if not settings.cors_origins:
            raise StoreMisconfigured(detail="--cors: no pages may use this server; name them in FHIRSTORE_CORS_ORIGINS")
        return Wanted(location, root, cors_rules(root, settings.cors_origins))
    rules = lifecycle_rules(root, tenants, retention_of(settings, tenant, order))
    return Wanted(location, root, [rule for rule in rules if order.uploads or _ABORT not in rule])


async def _names(settings: Settings) -> list[str]:
    if settings.tenants is not None:
        return sorted(settings.tenants)
    async with open_store(settings) as store:
        return await store.tenancy.names()


def _misfits(settings: Settings) -> list[str]:
    """Returns a line for each setting by which a rule would do nothing, or harm."""
    tables = {**settings.tenant_tables, "default": settings.tenant_tables.get("default", {})}
    kept = {name: settings.settings_of(name) for name in tables}
    lines = []
    if "versions" not in settings.tagged and any(one.archive_after_days for one in kept.values()):
        lines.append("archive_after_days: a rule finds versions by their tag; add versions to FHIRSTORE_TAGS")
    if any(one.exports_expire_after_days for one in kept.values()) and "exports" not in settings.tagged:
        lines.append("exports_expire_after_days: a rule finds exports by their tag; add exports to FHIRSTORE_TAGS")
    for name, one in kept.items():
        days = one.exports_expire_after_days
        if days is not None and days * _DAY < settings.export_expiry:
            lines.append(
                f"[{name}] exports_expire_after_days={days}: files would go before their export does, after "
                f"{settings.export_expiry} s (FHIRSTORE_EXPORT_EXPIRY)"
            )
    return lines


# --- print, apply, check ------------------------------------------------------------------------------------


def _print(wanted: Sequence[Wanted], order: Order) -> int:
    if order.form == "terraform":
        sys.stdout.write("\n".join(as_terraform(_bucket(one.location), one.rules, cors=order.cors) for one in wanted))
        return 0
    name = "CORSRules" if order.cors else "Rules"
    documents = {_bucket(one.location): {name: one.rules} for one in wanted}
    shown: object = documents if len(documents) > 1 else next(iter(documents.values()))
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    return 0


def _bucket(location: str) -> str:
    return location.removeprefix("s3://").partition("/")[0]


async def _each(settings: Settings, order: Order, wanted: Sequence[Wanted]) -> dict[str, list[str]]:
    """Applies or checks. Returns the differences that are there afterwards, by location."""
    found: dict[str, list[str]] = {}
    for one in wanted:
        async with open_bucket(one.location, s3=settings.s3) as bucket:
            there = await _rules(bucket, order)
            lines = rule_differences(there, one.rules, one.root)
            if order.tenant is not None:  # the others' are not asked for
                lines = [line for line in lines if not line.startswith("not wanted")]
            if order.action == "apply" and lines:
                await _set(bucket, merged_rules(there, one.rules, one.root), order)
                lines = rule_differences(await _rules(bucket, order), one.rules, one.root)
            found[one.location] = lines
    return found


async def _set(bucket: Bucket, rules: Sequence[Rule], order: Order) -> None:
    try:
        await (bucket.set_cors(rules) if order.cors else bucket.set_lifecycle(rules))
    except (RequestRefused, StoreCannot) as error:
        if not order.cors and await _set_without_uploads(bucket, rules):
            return
        hints = []
        if any("Transitions" in rule for rule in rules):
            hints = [f"it has no class {order.storage_class}: see --storage-class, or leave out archive_after_days"]
        if not order.cors and any(_ABORT in rule for rule in rules):
            hints += ["it aborts uploads by itself, as MinIO does: --no-uploads"]
        if not hints:
            raise
        hint = f"perhaps {', or '.join(hints)}"
        raise type(error)(error.key, f"{error.detail}; nothing was set; {hint}") from error


async def _set_without_uploads(bucket: Bucket, rules: Sequence[Rule]) -> bool:
    """Sets all but the store's rule that aborts uploads, which MinIO refuses. Returns whether the bucket took them."""
    kept = [rule for rule in rules if not str(rule.get("ID")).startswith("fhirstore-uploads@")]
    if not kept or len(kept) == len(rules):
        return False
    try:
        await bucket.set_lifecycle(kept)
    except (RequestRefused, StoreCannot):
        return False
    return True


async def _rules(bucket: Bucket, order: Order) -> list[Rule]:
    return await (bucket.cors() if order.cors else bucket.lifecycle())


def _tell(found: Mapping[str, list[str]], order: Order) -> None:
    if order.form == "json":
        sys.stdout.write(json.dumps({place: {"differences": lines} for place, lines in found.items()}, indent=2) + "\n")
        return
    for place, lines in found.items():
        if not lines:
            sys.stdout.write(f"{place}: the rules are as they should be\n")
        elif order.action == "apply":
            sys.stdout.write(f"{place}: the S3 server did not take all rules, or did not keep them as given:\n")
        else:
            sys.stdout.write(f"{place}: the rules are not as they should be:\n")
        sys.stdout.writelines(f"  {line}\n" for line in lines)


def _without_bucket(settings: Settings, order: Order) -> int:
    """Says what the server does instead of a bucket's rules; and which settings have no effect."""
    if order.cors or order.action == "apply":
        what = "CORS" if order.cors else "lifecycle"
        sys.stderr.write(f"fhirstore: {settings.store}: only a bucket (s3://…) has {what} rules\n")
        return FAILED
    hours = settings.export_expiry / 3600
    sys.stdout.write(
        f"{settings.store} has no lifecycle rules; the server does this by itself:\n"
        f"  exports are removed {hours:g} h after their end (FHIRSTORE_EXPORT_EXPIRY)\n"
        f"  submissions are removed with their raw lines {SubmitOptions().keep // (1000 * _DAY)} days after their end\n"
        "  uploads that nobody completed are removed by the sweeper\n"
        "  versions stay where they are\n"
    )
    names = {"default", *settings.tenant_tables}
    kept = [settings.settings_of(name) for name in names]
    vain = [
        name
        for name in ("archive_after_days", "exports_expire_after_days")
        if any(getattr(one, name) is not None for one in kept)
    ]
    if vain:
        sys.stderr.write(f"fhirstore: without effect on this store: {', '.join(vain)} (FHIRSTORE_TENANT_SETTINGS)\n")
    return 1 if vain and order.action == "check" else 0
