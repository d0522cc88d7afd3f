"""Settings: the store, and the connection to its bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fhirstore import S3Options, Tags
from fhirstore.objects import ENCRYPTIONS, Encryption
from server.settings import values
from server.settings.setting import setting

TAGGED = {"exports": "export", "payloads": "payload", "submissions": "submission", "versions": "version"}
"""What FHIRSTORE_TAGS may name: the kinds of `fhirstore.Tags`."""


@dataclass(frozen=True)
class Storage:
    """The store, and the connection to its bucket."""

    store: str = setting(
        "FHIRSTORE_STORE",
        values.text,
        "file:./data",
        "Where the data lies: `file:DIR`, `s3://bucket/prefix` or `memory:`.",
    )
    unsafe_single_writer: bool = setting(
        "FHIRSTORE_UNSAFE_SINGLE_WRITER",
        values.flag,
        False,
        "Serve from a store that fails the probe; only for a single server process.",
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
    s3_attempts: int = setting(
        "FHIRSTORE_S3_ATTEMPTS",
        values.up_to(20),
        3,
        "How often a read, a delete or an unconditional PUT is sent to S3 before it counts as failed, the first time "
        "included; for one request to the server 3 times at most. A conditional PUT is never sent again blindly.",
    )
    s3_backoff: float = setting(
        "FHIRSTORE_S3_BACKOFF",
        values.seconds,
        0.1,
        "The longest wait before the second attempt, in seconds; it doubles with every further one. Each wait is a "
        "random part of it.",
    )
    s3_backoff_max: float = setting(
        "FHIRSTORE_S3_BACKOFF_MAX", values.seconds, 5.0, "The longest wait before any attempt, in seconds."
    )
    s3_connect_timeout: float = setting(
        "FHIRSTORE_S3_CONNECT_TIMEOUT", values.seconds, 5.0, "Seconds that a connection to S3 may take."
    )
    s3_request_timeout: float = setting(
        "FHIRSTORE_S3_REQUEST_TIMEOUT",
        values.seconds,
        30.0,
        "Seconds that one attempt at a request to S3 may take; large bodies have more time.",
    )
    s3_sse: str = setting(
        "FHIRSTORE_S3_SSE",
        values.choice("none", *ENCRYPTIONS),
        "none",
        "What S3 encrypts new objects with: `AES256` (SSE-S3), `aws:kms` or `aws:kms:dsse` (a key of KMS); `none`: "
        "what the bucket says.",
    )
    s3_sse_kms_key_id: str | None = setting(
        "FHIRSTORE_S3_SSE_KMS_KEY_ID",
        values.kms_key,
        None,
        "The KMS key: its id, ARN or alias. `kms_key` in the file of tenant settings gives a tenant a key of its own.",
        unset="the account's own key for S3",
    )
    s3_sse_bucket_key: bool = setting(
        "FHIRSTORE_S3_SSE_BUCKET_KEY",
        values.flag,
        False,
        "Let S3 ask KMS once for many objects, which costs less and logs less.",
    )
    tagged: frozenset[str] = setting(
        "FHIRSTORE_TAGS",
        values.some_of(*TAGGED),
        frozenset({"exports", "payloads", "submissions"}),
        "Which objects carry tags, for lifecycle rules and bills: `exports`, `payloads`, `submissions`, `versions`, "
        "separated by commas, or `none`. A tag costs no request; AWS bills it by the object and month.",
    )

    @property
    def s3(self) -> S3Options:
        """The options of the connection to the bucket."""
        return S3Options(
            endpoint_url=self.s3_endpoint_url,
            public_endpoint_url=self.s3_public_endpoint_url,
            allow_http=self.s3_allow_http,
            force_path_style=self.s3_force_path_style,
            region=self.region,
            attempts=self.s3_attempts,
            backoff=self.s3_backoff,
            backoff_cap=self.s3_backoff_max,
            connect_timeout=self.s3_connect_timeout,
            request_timeout=self.s3_request_timeout,
        )

    def encryption(self, tenant_keys: Mapping[str, str]) -> Encryption | None:
        """What S3 encrypts new objects with; None: what the bucket says. `tenant_keys`: KMS keys by tenant."""
        if self.s3_sse == "none":
            return None
        return Encryption(self.s3_sse, self.s3_sse_kms_key_id, self.s3_sse_bucket_key, tenant_keys)

    @property
    def tags(self) -> Tags:
        """Which kinds of objects are tagged."""
        return Tags(frozenset(TAGGED[name] for name in self.tagged))
