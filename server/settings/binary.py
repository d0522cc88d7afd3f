"""Settings: Binary resources, whose content may lie outside of them, and uploads."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore import UploadRequest
from server.settings import values
from server.settings.setting import setting

BINARY_URLS = ("server", "presigned")


@dataclass(frozen=True)
class Binaries:
    """Binary resources, whose content may lie outside of them, and uploads."""

    inline_bytes: int = setting(
        "FHIRSTORE_INLINE_BYTES",
        values.count,
        1_024_000,
        "The most bytes of a Binary's content that are stored in the resource; more is stored as an object of its own.",
    )
    max_binary: int = setting(
        "FHIRSTORE_MAX_BINARY_BYTES",
        values.positive,
        5 * 1024 * 1024 * 1024,
        "The largest content of a Binary that is sent in its own content type, in bytes; all other bodies have "
        "`FHIRSTORE_MAX_BODY_BYTES`.",
    )
    externalize_attachments: bool = setting(
        "FHIRSTORE_EXTERNALIZE_ATTACHMENTS",
        values.flag,
        False,
        "Move data of attachments above `FHIRSTORE_INLINE_BYTES` out of the resources that are written, each into a "
        "Binary of its own.",
    )
    binary_urls: str = setting(
        "FHIRSTORE_BINARY_URLS",
        values.choice(*BINARY_URLS),
        "server",
        "Where clients download the content of a Binary that lies outside of its resource: `server`, from this server, "
        "or `presigned`, by a redirect to the bucket whose URL whoever has it may use for "
        "`FHIRSTORE_EXPORT_URL_EXPIRY`; only with `s3://`.",
    )
    upload_expiry: int = setting(
        "FHIRSTORE_UPLOAD_EXPIRY",
        values.up_to(UploadRequest.LONGEST),
        3_600,
        "Seconds in which the content of a direct upload may be sent, at most (43200, which is 12 hours, or less); "
        "an hour later it can be completed no more.",
    )
