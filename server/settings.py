"""Settings are values, read once from the environment. README lists them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network

from fhirstore import S3Options

TENANT_SOURCES = ("none", "header", "path")
TENANCIES = ("prefix", "bucket")
FHIR_VERSIONS = ("4.0", "4.3", "5.0")
VALIDATIONS = ("structure", "off", "full")


class BadSetting(Exception):
    """An environment variable holds what it cannot; the message names it and says what is possible."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a server can be told. `tenants` None: any well-formed id. `max_body`: bytes of one request body.

    `fhir_version`: the release of all resources. `validation`: how thoroughly what is written is checked.
    `reference_integrity`: what a written resource refers to on this server must be there.
    `cors_origins`: web pages of these origins may use the API; `*`: of any.
    `max_connections` of a process; None: as its file descriptors allow. `max_in_flight`: bytes of request bodies and
    answers that a process holds at once. `io_timeout`: seconds that a client may take for the head of a request, or
    pause in its body or in reading an answer; `keep_alive`: seconds between two requests of a connection.
    `trusted_proxies`: addresses and networks whose `Forwarded` and `X-Forwarded-*` are heeded; `*`: of anybody.
    """

    store: str = "file:./data"
    s3: S3Options = field(default_factory=S3Options)
    fhir_version: str = "4.0"
    validation: str = "structure"
    reference_integrity: bool = False
    tenant_source: str = "none"
    tenants: frozenset[str] | None = frozenset({"default"})
    tenant_buckets: Mapping[str, str] = field(default_factory=dict)
    base_url: str | None = None
    max_body: int = 16 * 1024 * 1024
    max_bundle_entries: int = 5_000
    unsafe_single_writer: bool = False
    enable_purge: bool = False
    skip_unchanged: bool = False
    cors_origins: tuple[str, ...] = ()
    max_connections: int | None = None
    max_in_flight: int = 256 * 1024 * 1024
    io_timeout: float = 20.0
    keep_alive: float = 75.0
    trusted_proxies: tuple[str, ...] = ()

    @property
    def only_tenant(self) -> str | None:
        """The one tenant of a server whose requests name none."""
        names = frozenset(self.tenant_buckets) or self.tenants
        return next(iter(names)) if names is not None and len(names) == 1 else None


def from_environment(env: Mapping[str, str]) -> Settings:
    """Read `FHIRSTORE_*` and `AWS_REGION`. Raises BadSetting."""
    source = _choice(env, "FHIRSTORE_TENANT_SOURCE", TENANT_SOURCES)
    tenancy = _choice(env, "FHIRSTORE_TENANCY", TENANCIES)
    buckets = _buckets(env.get("FHIRSTORE_TENANT_BUCKETS", ""))
    if (tenancy == "bucket") != bool(buckets):
        raise BadSetting(
            "FHIRSTORE_TENANCY=bucket and FHIRSTORE_TENANT_BUCKETS=tenant=bucket,… go together; set both or neither"
        )
    if buckets and "FHIRSTORE_TENANTS" in env:
        raise BadSetting("FHIRSTORE_TENANT_BUCKETS already says which tenants exist; unset FHIRSTORE_TENANTS")
    settings = Settings(
        store=env.get("FHIRSTORE_STORE") or "file:./data",
        s3=S3Options(
            endpoint_url=env.get("FHIRSTORE_S3_ENDPOINT_URL") or None,
            allow_http=bool(_flag(env, "FHIRSTORE_S3_ALLOW_HTTP")),
            force_path_style=_flag(env, "FHIRSTORE_S3_FORCE_PATH_STYLE"),
            region=env.get("AWS_REGION") or None,
        ),
        fhir_version=_choice(env, "FHIRSTORE_FHIR_VERSION", FHIR_VERSIONS),
        validation=_choice(env, "FHIRSTORE_VALIDATION", VALIDATIONS),
        reference_integrity=bool(_flag(env, "FHIRSTORE_REFERENCE_INTEGRITY")),
        tenant_source=source,
        tenants=_tenants(env.get("FHIRSTORE_TENANTS", "default")),
        tenant_buckets=buckets,
        base_url=(env.get("FHIRSTORE_BASE_URL") or "").rstrip("/") or None,
        max_body=_positive(env, "FHIRSTORE_MAX_BODY_BYTES", 16 * 1024 * 1024),
        max_bundle_entries=_positive(env, "FHIRSTORE_MAX_BUNDLE_ENTRIES", 5_000),
        unsafe_single_writer=bool(_flag(env, "FHIRSTORE_UNSAFE_SINGLE_WRITER")),
        enable_purge=bool(_flag(env, "FHIRSTORE_ENABLE_PURGE")),
        skip_unchanged=bool(_flag(env, "FHIRSTORE_SKIP_UNCHANGED")),
        cors_origins=_origins(env.get("FHIRSTORE_CORS_ORIGINS", "")),
        max_connections=_positive_if_any(env, "FHIRSTORE_MAX_CONNECTIONS"),
        max_in_flight=_max_in_flight(env),
        io_timeout=float(_positive(env, "FHIRSTORE_IO_TIMEOUT", 20)),
        keep_alive=float(_positive(env, "FHIRSTORE_KEEP_ALIVE", 75)),
        trusted_proxies=_proxies(env.get("FHIRSTORE_TRUSTED_PROXIES", "")),
    )
    if settings.tenant_source == "none" and settings.only_tenant is None:
        raise BadSetting(
            "several tenants are configured but FHIRSTORE_TENANT_SOURCE=none; set it to header or path, "
            "so that requests say which tenant they mean"
        )
    return settings


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    value = env.get(name) or choices[0]
    if value not in choices:
        raise BadSetting(f"{name}={value}: must be one of {', '.join(choices)}")
    return value


def _flag(env: Mapping[str, str], name: str) -> bool | None:
    value = env.get(name, "").lower()
    if value not in ("", "true", "1", "false", "0"):
        raise BadSetting(f"{name}={value}: must be true or false")
    return value in ("true", "1") if value else None


def _positive(env: Mapping[str, str], name: str, default: int) -> int:
    value = env.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        raise BadSetting(f"{name}={value}: must be a positive whole number")
    return int(value)


def _positive_if_any(env: Mapping[str, str], name: str) -> int | None:
    return _positive(env, name, 1) if env.get(name) else None


def _max_in_flight(env: Mapping[str, str]) -> int:
    """At least two of the longest bodies, so that each that is allowed can be taken and given."""
    longest = _positive(env, "FHIRSTORE_MAX_BODY_BYTES", 16 * 1024 * 1024)
    value = _positive(env, "FHIRSTORE_MAX_IN_FLIGHT_BYTES", max(256 * 1024 * 1024, 4 * longest))
    if value < 2 * longest:
        raise BadSetting(
            f"FHIRSTORE_MAX_IN_FLIGHT_BYTES={value}: must be at least twice FHIRSTORE_MAX_BODY_BYTES ({longest})"
        )
    return value


def _proxies(text: str) -> tuple[str, ...]:
    proxies = tuple(filter(None, (part.strip() for part in text.split(","))))
    for proxy in proxies:
        try:
            if proxy != "*":
                ip_network(proxy, strict=False)
        except ValueError:
            raise BadSetting(
                f"FHIRSTORE_TRUSTED_PROXIES: '{proxy}' must be an address or a network, like 10.0.0.0/8, or * for any"
            ) from None
    return proxies


def _tenants(text: str) -> frozenset[str] | None:
    if text.strip() == "*":
        return None
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise BadSetting("FHIRSTORE_TENANTS is empty: name tenants, separated by commas, or * for any")
    return names


def _buckets(text: str) -> dict[str, str]:
    buckets: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        tenant, equals, bucket = pair.partition("=")
        if not equals or not tenant or not bucket or tenant in buckets:
            raise BadSetting(f"FHIRSTORE_TENANT_BUCKETS: '{pair}' must be tenant=bucket, each tenant once")
        buckets[tenant] = bucket
    return buckets


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(filter(None, (part.strip().rstrip("/") for part in text.split(","))))
    for origin in origins:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            raise BadSetting(f"FHIRSTORE_CORS_ORIGINS: '{origin}' must be * or an origin like https://app.example.org")
    return origins
