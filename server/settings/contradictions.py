"""Combinations of settings that are valid one by one and contradict each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from fhirstore import RegisteredTenants
from server.settings.loopback import is_loopback
from server.settings.table import Settings
from server.settings.tenants import unknown_tenants

_LONGEST_PRESIGNED = 604_800  # seconds, of S3


def contradictions(settings: Settings, env: Mapping[str, str], *, serving: bool) -> list[str]:
    """Returns a sentence for each. `serving`: requests will come, so they must be able to name their tenant."""
    wrong = [
        *_of_listening(settings),
        *_of_tenants(settings, env),
        *_of_store(settings),
        *_of_encryption(settings, serving=serving),
        *_of_limits(settings),
        *_of_urls(settings),
        *_of_authentication(settings),
    ]
    if serving and not wrong and settings.tenant_source == "none" and settings.only_tenant is None:
        wrong.append(
            "several tenants are configured but FHIRSTORE_TENANT_SOURCE=none, so that no request can name one; "
            "set it to header or path"
        )
    return wrong


def _of_listening(settings: Settings) -> Iterator[str]:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "FHIRSTORE_TLS_CERT and FHIRSTORE_TLS_KEY go together; set both or neither"
    if settings.tls_key_password is not None and settings.tls_key is None:
        yield "FHIRSTORE_TLS_KEY_PASSWORD: goes with FHIRSTORE_TLS_KEY"


def _of_tenants(settings: Settings, env: Mapping[str, str]) -> Iterator[str]:
    if "FHIRSTORE_TENANTS" in env and not env["FHIRSTORE_TENANTS"].strip(" ,"):
        yield "FHIRSTORE_TENANTS: is empty; name tenants, separated by commas, or * for any"
    if (settings.tenancy == "bucket") != bool(settings.tenant_buckets):
        yield "FHIRSTORE_TENANCY=bucket and FHIRSTORE_TENANT_BUCKETS=tenant=bucket,… go together; set both or neither"
    if settings.tenant_buckets and "FHIRSTORE_TENANTS" in env:
        yield "FHIRSTORE_TENANT_BUCKETS already says which tenants exist; unset FHIRSTORE_TENANTS"
    tenants = None if isinstance(settings.tenants, RegisteredTenants) else settings.tenants
    if unknown := unknown_tenants(settings.tenant_tables, frozenset(settings.tenant_buckets) or tenants):
        yield f"FHIRSTORE_TENANT_SETTINGS: no such tenants: {', '.join(unknown)}"


def _of_store(settings: Settings) -> Iterator[str]:
    if settings.s3_backoff > settings.s3_backoff_max:
        yield (
            f"FHIRSTORE_S3_BACKOFF: the first wait, {settings.s3_backoff:g} s, is longer than the longest, "
            f"{settings.s3_backoff_max:g} s (FHIRSTORE_S3_BACKOFF_MAX)"
        )
    if settings.s3_connect_timeout > settings.s3_request_timeout:
        yield (
            f"FHIRSTORE_S3_CONNECT_TIMEOUT: a connection may take {settings.s3_connect_timeout:g} s, and the whole "
            f"request only {settings.s3_request_timeout:g} s (FHIRSTORE_S3_REQUEST_TIMEOUT)"
        )


def _of_encryption(settings: Settings, *, serving: bool) -> Iterator[str]:
    of_kms = settings.s3_sse.startswith("aws:kms")
    if settings.s3_sse_kms_key_id is not None and not of_kms:
        yield "FHIRSTORE_S3_SSE_KMS_KEY_ID: goes with FHIRSTORE_S3_SSE=aws:kms"
    if settings.s3_sse_bucket_key and settings.s3_sse != "aws:kms":
        yield "FHIRSTORE_S3_SSE_BUCKET_KEY: goes with FHIRSTORE_S3_SSE=aws:kms"
    if not of_kms and (keyed := [name for name, table in settings.tenant_tables.items() if "kms_key" in table]):
        yield f"FHIRSTORE_TENANT_SETTINGS: kms_key of {', '.join(keyed)} goes with FHIRSTORE_S3_SSE=aws:kms"
    in_s3 = settings.store.startswith("s3://") or settings.tenant_buckets
    if serving and settings.s3_sse != "none" and not in_s3:
        yield f"FHIRSTORE_S3_SSE={settings.s3_sse}: only a store s3://… is encrypted by S3; encrypt the disk instead"


def _of_limits(settings: Settings) -> Iterator[str]:
    if settings.max_in_flight < 2 * settings.max_body:
        yield "FHIRSTORE_MAX_IN_FLIGHT_BYTES: must be at least twice FHIRSTORE_MAX_BODY_BYTES"


def _of_urls(settings: Settings) -> Iterator[str]:
    if settings.export_urls == "presigned" and not settings.store.startswith("s3://"):
        yield "FHIRSTORE_EXPORT_URLS=presigned: only a store s3://… has presigned URLs; leave it out"
    if settings.binary_urls == "presigned" and not settings.store.startswith("s3://"):
        yield "FHIRSTORE_BINARY_URLS=presigned: only a store s3://… has presigned URLs; leave it out"
    if settings.export_url_expiry > _LONGEST_PRESIGNED:
        yield f"FHIRSTORE_EXPORT_URL_EXPIRY: a presigned URL is valid for {_LONGEST_PRESIGNED:,} s at most"


def _of_authentication(settings: Settings) -> Iterator[str]:
    if settings.auth == "jwt" and not settings.auth_issuers:
        yield "FHIRSTORE_AUTH=jwt: name the issuers of tokens with FHIRSTORE_AUTH_ISSUERS"
    if settings.auth_issuers and not settings.authenticates:
        yield "FHIRSTORE_AUTH_ISSUERS: needs FHIRSTORE_AUTH=jwt or smart; without it nobody is asked for a token"
    if settings.clients is not None and settings.auth != "smart":
        yield "FHIRSTORE_CLIENTS: needs FHIRSTORE_AUTH=smart; without it the server issues no tokens"
    if settings.auth_issuers and not settings.auth_audience and settings.base_url is None:
        yield (
            "FHIRSTORE_AUTH_AUDIENCE: say which audience tokens must name, or set FHIRSTORE_BASE_URL; otherwise tokens "
            "that were meant for other services would be accepted"
        )
    if not settings.auth_algorithms:
        yield "FHIRSTORE_AUTH_ALGORITHMS: a token without a signature is never accepted; name one at least"
    plain = [one for one in settings.auth_issuers if one.startswith("http:") and not _on_this_machine(one)]
    if plain and not settings.auth_plain_http:
        yield f"FHIRSTORE_AUTH_ISSUERS: {', '.join(plain)}: https only, or set FHIRSTORE_AUTH_PLAIN_HTTP=true"


def _on_this_machine(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
