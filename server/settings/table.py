"""The settings: each is a field of `Settings`, with its variable, form, default and meaning.

Reading the environment, refusing unknown variables, `fhirstore settings` and docs/settings.md are computed from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar, cast

from fhirstore import ExportOptions, JobLimits, S3Options
from server.settings import values
from server.settings.unknown import unknown_variables

TENANT_SOURCES = ("none", "header", "path")
TENANCIES = ("prefix", "bucket")
FHIR_VERSIONS = ("4.0", "4.3", "5.0")
HANDLINGS = ("strict", "lenient")
CONDITIONAL_DELETES = ("single", "multiple")
VALIDATIONS = ("structure", "off", "full")
BULK_VERSIONS = (3, 4)
EXPORT_URLS = ("server", "presigned")
_LONGEST_PRESIGNED = 604_800  # seconds, of S3

T = TypeVar("T")
D = TypeVar("D")


class BadSetting(Exception):
    """Environment variables have values that they cannot have; the message names each and says what it must be."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable. `read`: makes a value of its text. `unset`: the default, in words."""

    name: str
    read: Callable[[str], object]
    unset: str
    meaning: str


def setting(name: str, read: Callable[[str], T], default: D, meaning: str, *, unset: str | None = None) -> T | D:
    """A field of `Settings` that the variable `name` fills. `meaning` is one sentence of Markdown.

    `unset`: the default in words, where the value alone does not say it.
    """
    shown = _shown(default) if unset is None else unset
    return field(default_factory=lambda: default, metadata={"setting": Setting(name, read, shown, meaning)})


def _shown(default: object) -> str:
    """Returns a default as the text that would set it, in Markdown."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, frozenset | tuple):
        default = ",".join(sorted(default))
    return f"`{default}`" if default or default == 0 else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server. `tenants` None: any well-formed id; `allowed_hosts` None: any Host."""

    host: str = setting("HOST", values.host, "127.0.0.1", "The address to listen on.")
    port: int = setting("PORT", values.port, 8000, "The port to listen on; 0 is any free one.")
    store: str = setting(
        "FHIRSTORE_STORE",
        values.text,
        "file:./data",
        "Where the data lies: `file:DIR`, `s3://bucket/prefix` or `memory:`.",
    )
    s3_endpoint_url: str | None = setting(
        "FHIRSTORE_S3_ENDPOINT_URL", values.endpoint_url, None, "The URL of the S3 server.", unset="AWS"
    )
    s3_public_endpoint_url: str | None = setting(
        "FHIRSTORE_S3_PUBLIC_ENDPOINT_URL",
        values.endpoint_url,
        None,
        "The URL by which clients of presigned URLs reach the S3 server.",
        unset="that of the S3 server",
    )
    s3_allow_http: bool = setting(
        "FHIRSTORE_S3_ALLOW_HTTP",
        values.flag,
        False,
        "Admit an endpoint with `http://`, which sends data in clear text.",
    )
    s3_force_path_style: bool | None = setting(
        "FHIRSTORE_S3_FORCE_PATH_STYLE",
        values.flag,
        None,
        "Name the bucket in the path of URLs, not in the host name.",
        unset="`true` with an endpoint",
    )
    region: str | None = setting(
        "AWS_REGION",
        values.region,
        None,
        "The region of the bucket.",
        unset="the provider chain's, then `us-east-1` with an endpoint",
    )
    fhir_version: str = setting(
        "FHIRSTORE_FHIR_VERSION",
        values.choice(*FHIR_VERSIONS),
        "4.0",
        "The FHIR release of all resources: `4.0` (R4), `4.3` (R4B) or `5.0` (R5).",
    )
    validation: str = setting(
        "FHIRSTORE_VALIDATION",
        values.choice(*VALIDATIONS),
        "structure",
        "What is checked on every write: `structure` (the types of FHIR), `full` (invariants and types of reference "
        "targets, too) or `off` (JSON with a type).",
    )
    reference_integrity: bool = setting(
        "FHIRSTORE_REFERENCE_INTEGRITY",
        values.flag,
        False,
        "Refuse a resource that refers to a resource of this server that is not there; costs 1 GET for each target.",
    )
    tenant_source: str = setting(
        "FHIRSTORE_TENANT_SOURCE",
        values.choice(*TENANT_SOURCES),
        "none",
        "Where a request names its tenant: `header` (`X-Tenant-ID`), `path` (`/fhir/{tenant}/…`), or `none` where "
        "there is only one.",
    )
    tenants: frozenset[str] | None = setting(
        "FHIRSTORE_TENANTS",
        values.tenants,
        frozenset({"default"}),
        "The tenants that exist, separated by commas, or `*` for any well-formed id.",
    )
    tenancy: str = setting(
        "FHIRSTORE_TENANCY",
        values.choice(*TENANCIES),
        "prefix",
        "`prefix`: all tenants share the store, each below a prefix; `bucket`: each has the bucket that "
        "`FHIRSTORE_TENANT_BUCKETS` names.",
    )
    tenant_buckets: Mapping[str, str] = setting(
        "FHIRSTORE_TENANT_BUCKETS",
        values.tenant_buckets,
        {},
        "The bucket of each tenant, like `clinic-a=bucket-a,clinic-b=bucket-b`.",
    )
    base_url: str | None = setting(
        "FHIRSTORE_BASE_URL",
        values.base_url,
        None,
        "The public URL of the API, which links are made of.",
        unset="from each request's `Host`",
    )
    allowed_hosts: tuple[str, ...] | None = setting(
        "FHIRSTORE_ALLOWED_HOSTS",
        values.allowed_hosts,
        None,
        "The host names that requests may be sent to, separated by commas (`*.example.org`: all below it; `*`: any); "
        "others are answered 421.",
        unset="`localhost` and loopback addresses when listening on one without `FHIRSTORE_BASE_URL`, else any",
    )
    max_body: int = setting(
        "FHIRSTORE_MAX_BODY_BYTES", values.positive, 16 * 1024 * 1024, "The largest request body, in bytes."
    )
    request_timeout: float = setting(
        "FHIRSTORE_REQUEST_TIMEOUT",
        values.seconds,
        30.0,
        "Seconds after which a request that has no answer yet is answered 504; the time in which the body arrives does "
        "not count.",
    )
    max_connections: int | None = setting(
        "FHIRSTORE_MAX_CONNECTIONS",
        values.positive,
        None,
        "The most connections of a server process. One more takes the place of the one that has been idle for longest, "
        "or is answered 503.",
        unset="what `ulimit -n` allows, less a quarter or 64; 10,000 at most",
    )
    max_in_flight_bytes: int | None = setting(
        "FHIRSTORE_MAX_IN_FLIGHT_BYTES",
        values.positive,
        None,
        "The bytes of request bodies and answers that a server process holds at once, at least twice "
        "`FHIRSTORE_MAX_BODY_BYTES`; beyond it 503.",
        unset="256 MiB, or four times `FHIRSTORE_MAX_BODY_BYTES` if that is more",
    )
    io_timeout: float = setting(
        "FHIRSTORE_IO_TIMEOUT",
        values.seconds,
        20.0,
        "Seconds that a client may take for the head of a request, and for as many KiB of a body or of an answer.",
    )
    keep_alive: float = setting(
        "FHIRSTORE_KEEP_ALIVE", values.seconds, 75.0, "Seconds that a connection may be idle between two requests."
    )
    trusted_proxies: tuple[str, ...] = setting(
        "FHIRSTORE_TRUSTED_PROXIES",
        values.networks,
        (),
        "Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed: addresses and networks, separated by "
        "commas, or `*`.",
    )
    max_bundle_entries: int = setting(
        "FHIRSTORE_MAX_BUNDLE_ENTRIES", values.positive, 5_000, "The most entries of one batch or transaction."
    )
    max_bundle_requests: int = setting(
        "FHIRSTORE_MAX_BUNDLE_REQUESTS",
        values.positive,
        25_000,
        "The most storage requests (GET, LIST) that the reads of one batch or transaction, and the conditions of a "
        "transaction, may take; then 413.",
    )
    unsafe_single_writer: bool = setting(
        "FHIRSTORE_UNSAFE_SINGLE_WRITER",
        values.flag,
        False,
        "Serve from a store that fails the probe; only for a single server process.",
    )
    enable_purge: bool = setting(
        "FHIRSTORE_ENABLE_PURGE",
        values.flag,
        False,
        "Admit `POST [type]/[id]/$purge`, which removes a resource with its history.",
    )
    worker: bool = setting(
        "FHIRSTORE_WORKER",
        values.flag,
        True,
        "Run jobs (such as exports) in the server processes; `false`: only `fhirstore worker` processes do.",
    )
    jobs_at_once: int = setting(
        "FHIRSTORE_JOBS_AT_ONCE", values.positive, 2, "The most jobs that one process runs at once."
    )
    max_running_jobs: int = setting(
        "FHIRSTORE_MAX_RUNNING_JOBS",
        values.positive,
        4,
        "The most jobs of a tenant that run at once, in all processes together.",
    )
    max_queued_jobs: int = setting(
        "FHIRSTORE_MAX_QUEUED_JOBS",
        values.count,
        20,
        "The most jobs of a tenant that wait, beside those that may run; one more is answered 429.",
    )
    skip_unchanged: bool = setting(
        "FHIRSTORE_SKIP_UNCHANGED",
        values.flag,
        False,
        "A PUT or PATCH that changes nothing makes no version; costs 1 GET before the write.",
    )
    handling: str = setting(
        "FHIRSTORE_HANDLING",
        values.choice(*HANDLINGS),
        "strict",
        "What happens to a parameter that is not supported, unless the client says it by `Prefer: handling=…`: "
        "`strict` refuses the request, `lenient` ignores the parameter.",
    )
    conditional_delete: str = setting(
        "FHIRSTORE_CONDITIONAL_DELETE",
        values.choice(*CONDITIONAL_DELETES),
        "single",
        "How many resources `DELETE [type]?criteria` may delete: `single` refuses several matches with 412, "
        "`multiple` deletes up to 250, one by one.",
    )
    bulk_version: int = setting(
        "FHIRSTORE_BULK_VERSION",
        values.number(*BULK_VERSIONS),
        3,
        "The version of the Bulk Data Access IG whose requests and manifests exports have: `3` (3.0.0) or `4` (the "
        "ballot of 4.0.0).",
    )
    export_urls: str = setting(
        "FHIRSTORE_EXPORT_URLS",
        values.choice(*EXPORT_URLS),
        "server",
        "Where clients download exported files: `server`, from this server, or `presigned`, from the bucket by URLs "
        "that whoever has them may use until they expire; only with `s3://`.",
    )
    export_url_expiry: int = setting(
        "FHIRSTORE_EXPORT_URL_EXPIRY",
        values.positive,
        3_600,
        "Seconds that a presigned URL is valid; a client that asks for the manifest again gets new ones.",
    )
    export_part_bytes: int = setting(
        "FHIRSTORE_EXPORT_PART_BYTES",
        values.positive,
        64 * 1024 * 1024,
        "The most bytes of an exported file; a larger resource has a file of its own.",
    )
    export_expiry: int = setting(
        "FHIRSTORE_EXPORT_EXPIRY",
        values.positive,
        86_400,
        "Seconds after which a finished export is removed with its files.",
    )
    export_concurrency: int = setting(
        "FHIRSTORE_EXPORT_CONCURRENCY",
        values.positive,
        16,
        "The resources that one export reads at once.",
    )
    submitters: str | None = setting(
        "FHIRSTORE_SUBMITTERS",
        values.text,
        None,
        "The file that says who may submit in bulk, and from where (JSON, or TOML as `.toml`), read at the start.",
        unset="nobody may",
    )
    cors_origins: tuple[str, ...] = setting(
        "FHIRSTORE_CORS_ORIGINS",
        values.origins,
        (),
        "The origins whose web pages may use the API, separated by commas, or `*`.",
    )

    @property
    def only_tenant(self) -> str | None:
        """The one tenant of a server whose requests name none."""
        names = frozenset(self.tenant_buckets) or self.tenants
        return next(iter(names)) if names is not None and len(names) == 1 else None

    @property
    def max_in_flight(self) -> int:
        """Bytes of request bodies and answers that a server process holds at once."""
        return self.max_in_flight_bytes or max(256 * 1024 * 1024, 4 * self.max_body)

    @property
    def export_options(self) -> ExportOptions:
        """How exports run."""
        return ExportOptions(
            part_bytes=self.export_part_bytes, expiry=self.export_expiry, concurrency=self.export_concurrency
        )

    @property
    def job_limits(self) -> JobLimits:
        """How many jobs a tenant may have."""
        return JobLimits(self.max_running_jobs, self.max_queued_jobs)

    @property
    def s3(self) -> S3Options:
        """The options of the connection to the bucket."""
        return S3Options(
            endpoint_url=self.s3_endpoint_url,
            public_endpoint_url=self.s3_public_endpoint_url,
            allow_http=self.s3_allow_http,
            force_path_style=self.s3_force_path_style,
            region=self.region,
        )


TABLE: Mapping[str, Setting] = {one.name: cast(Setting, one.metadata["setting"]) for one in fields(Settings)}
"""Every setting by the name of its field, in the order in which they are documented."""


def from_environment(env: Mapping[str, str], *, serving: bool = True) -> Settings:
    """Reads the settings from `env`; an empty variable counts as not set. Raises BadSetting, naming every error.

    `serving`: requests will come, so they must be able to name their tenant.
    """
    wrong = unknown_variables(env, [one.name for one in TABLE.values()])
    found: dict[str, object] = {}
    for name, one in TABLE.items():
        value = env.get(one.name, "").strip()
        try:
            if value:
                found[name] = one.read(value)
        except ValueError as error:
            wrong.append(f"{one.name}: {error}")
    if not wrong:
        settings = Settings(**found)  # type: ignore[arg-type] # each is what its field's own `read` made
        wrong = _contradictions(settings, env, serving=serving)
    if wrong:
        raise BadSetting("; ".join(wrong))
    return settings


def _contradictions(settings: Settings, env: Mapping[str, str], *, serving: bool) -> list[str]:
    """Returns the errors in combinations of settings that are valid one by one."""
    wrong = []
    if "FHIRSTORE_TENANTS" in env and not env["FHIRSTORE_TENANTS"].strip(" ,"):
        wrong.append("FHIRSTORE_TENANTS: is empty; name tenants, separated by commas, or * for any")
    if (settings.tenancy == "bucket") != bool(settings.tenant_buckets):
        wrong.append(
            "FHIRSTORE_TENANCY=bucket and FHIRSTORE_TENANT_BUCKETS=tenant=bucket,… go together; set both or neither"
        )
    if settings.max_in_flight < 2 * settings.max_body:
        wrong.append("FHIRSTORE_MAX_IN_FLIGHT_BYTES: must be at least twice FHIRSTORE_MAX_BODY_BYTES")
    if settings.tenant_buckets and "FHIRSTORE_TENANTS" in env:
        wrong.append("FHIRSTORE_TENANT_BUCKETS already says which tenants exist; unset FHIRSTORE_TENANTS")
    if settings.export_urls == "presigned" and not settings.store.startswith("s3://"):
        wrong.append("FHIRSTORE_EXPORT_URLS=presigned: only a store s3://… has presigned URLs; leave it out")
    if settings.export_url_expiry > _LONGEST_PRESIGNED:
        wrong.append(f"FHIRSTORE_EXPORT_URL_EXPIRY: a presigned URL is valid for {_LONGEST_PRESIGNED:,} s at most")
    if serving and not wrong and settings.tenant_source == "none" and settings.only_tenant is None:
        wrong.append(
            "several tenants are configured but FHIRSTORE_TENANT_SOURCE=none, so that no request can name one; "
            "set it to header or path"
        )
    return wrong
