"""Settings: the store, and the connection to its bucket."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore import S3Options
from server.settings import values
from server.settings.setting import setting


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
