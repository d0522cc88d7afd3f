"""`fhirstore audit`: prints a tenant's audit trail, checks it, or removes what has expired."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from fhirstore import AuditTrail, FhirStore, TrailReport
from fhirstore.errors import FhirStoreError, UnknownTenant
from server.auditing.opening import audit_objects
from server.commands.each_tenant import FAILED
from server.process.deployment import open_store
from server.settings import Settings

_AGO = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FOREVER = 10**13
_DAY = 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for; the members are the command's options."""

    tenant: str | None = None
    without_tenant: bool = False
    since: str | None = None
    until: str | None = None
    patient: str | None = None
    agent: str | None = None
    verify: bool = False
    expire: bool = False
    as_json: bool = False


def run_audit(settings: Settings, order: Order) -> int:
    """Does it. Returns 0; 1: the check found something; 2: could not run."""
    now = int(time.time() * 1000)

    async def go() -> int:
        async with open_store(settings) as store, audit_objects(settings) as objects:
            tenant = await _tenant(store, order)
            trail = store.audit_trail(tenant, objects)
            days = None if tenant is None else settings.settings_of(tenant).audit_expires_after_days
            horizon = 0 if days is None else now - days * _DAY
            if order.expire:
                return await _expire(trail, horizon)
            since = 0 if order.since is None else read_time(order.since, now)
            until = _FOREVER if order.until is None else read_time(order.until, now)
            if order.verify:
                return _tell(await trail.verify(since=since, until=until, expired_before=horizon), order)
            async for event in trail.events(since=since, until=until, patient=order.patient, agent=order.agent):
                sys.stdout.write(event.decode() + "\n" if order.as_json else line_of(event) + "\n")
            return 0

    try:
        return asyncio.run(go())
    except (FhirStoreError, ValueError) as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
        return 0


async def _tenant(store: FhirStore, order: Order) -> str | None:
    """Returns whose trail it is. Raises UnknownTenant."""
    if order.without_tenant:
        return None
    if order.tenant is not None:
        return order.tenant
    names = await store.tenancy.names()
    if len(names) != 1:
        raise UnknownTenant("say which tenant you mean: --tenant, or --without-tenant")
    return names[0]


def read_time(text: str, now: int) -> int:
    """Returns a time as epoch ms: a date, a date and time (UTC unless it says else), or so long ago. `now`: epoch ms.

    Raises ValueError.
    """
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now - int(ago[1]) * _SECONDS[ago[2]] * 1000
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"no time: {text[:40]!r}; write 2026-07-01, 2026-07-01T12:00Z, or 30m, 24h, 7d") from None
    return int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp() * 1000)


async def _expire(trail: AuditTrail, horizon: int) -> int:
    if not horizon:
        sys.stdout.write("nothing expires: the tenant has no audit_expires_after_days (FHIRSTORE_TENANT_SETTINGS)\n")
        return 0
    removed = await trail.expire(horizon)
    sys.stdout.write(f"{removed:,} segments removed\n")
    return 0


def _tell(report: TrailReport, order: Order) -> int:
    if order.as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report.as_json())).decode() + "\n")
        return 0 if report.ok else 1
    sys.stdout.write(
        f"{report.segments:,} segments of {report.processes:,} processes with {report.events:,} events; "
        f"{report.open:,} processes run or were killed; {report.lost:,} events were dropped; "
        f"{len(report.findings) + report.left_off:,} findings\n"
    )
    for finding in report.findings:
        sys.stdout.write(f"{finding.key}: {finding.detail}\n")
    return 0 if report.ok else 1


class _Value(msgspec.Struct):
    value: str = ""
    code: str = ""
    valueString: str = ""  # noqa: N815 - FHIR's name


class _What(msgspec.Struct):
    reference: str = ""
    identifier: _Value = msgspec.field(default_factory=_Value)
    display: str = ""
    type: str = ""


class _Part(msgspec.Struct):
    what: _What = msgspec.field(default_factory=_What)
    who: _What = msgspec.field(default_factory=_What)
    network: dict[str, str] = msgspec.field(default_factory=dict)
    role: object = None
    requestor: bool = False


class _Event(msgspec.Struct):
    recorded: str
    outcome: str
    subtype: list[_Value]
    agent: list[_Part]
    entity: list[_Part]
    outcomeDesc: str = ""  # noqa: N815 - FHIR's name


def line_of(event: bytes) -> str:
    """Returns an AuditEvent as one line: time, outcome, interaction, who, resource, patients, request."""
    plain = msgspec.json.decode(event, type=_Event)
    client = plain.agent[0]
    who = [
        client.network.get("address", "-"),
        *(one.who.identifier.value for one in plain.agent if one.who.identifier.value),
    ]
    roles = [one.role.get("code") if isinstance(one.role, dict) else None for one in plain.entity]
    entities = list(zip(roles, plain.entity, strict=True))
    objects = [one.what.reference or one.what.type for role, one in entities if role == "4"]
    jobs = [one.what.identifier.value for role, one in entities if role == "20"]
    patients = [one.what.reference for role, one in entities if role == "1"]
    request = [one.what.identifier.value for role, one in entities if role is None and one.what.identifier.value]
    outcome = "ok" if plain.outcome == "0" else plain.outcomeDesc.replace(" ", "-") or "failed"
    parts = [plain.recorded, outcome, plain.subtype[-1].code, *who, *objects, *(f"job={job}" for job in jobs)]
    parts += [f"of={','.join(patients)}"] if patients else []
    return " ".join([*parts, *(f"request={one}" for one in request)])
