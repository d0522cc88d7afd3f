"""Settings: Exports and submissions."""

from __future__ import annotations

from dataclasses import dataclass

from fhirstore import ExportOptions
from server.settings import values
from server.settings.setting import setting

BULK_VERSIONS = (3, 4)
EXPORT_URLS = ("server", "presigned")


@dataclass(frozen=True)
class Bulk:
    """Exports and submissions."""

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
        "Seconds that a presigned URL is valid, of an exported file or of the content of a Binary; a client that asks "
        "again gets a new one.",
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

    @property
    def export_options(self) -> ExportOptions:
        """How exports run."""
        return ExportOptions(
            part_bytes=self.export_part_bytes, expiry=self.export_expiry, concurrency=self.export_concurrency
        )
