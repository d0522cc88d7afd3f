"""Settings: where a server listens and under which names it is reached."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Listening:
    """Where a server listens and under which names it is reached. `allowed_hosts` None: any Host."""

    host: str = setting("HOST", values.host, "127.0.0.1", "The address to listen on.")
    port: int = setting("PORT", values.port, 8000, "The port to listen on; 0 is any free one.")
    base_url: str | None = setting(
        "FHIRSTORE_BASE_URL",
        values.base_url,
        None,
        "The public URL of the API, which links are made of.",
        unset="from each request's `Host`",
    )
    tls_cert: str | None = setting(
        "FHIRSTORE_TLS_CERT",
        values.text,
        None,
        "The file (PEM) with the certificate and those that lead to its authority: the server speaks HTTPS alone. "
        "It is loaded again when it changes, and on SIGHUP.",
        unset="HTTP",
    )
    tls_key: str | None = setting("FHIRSTORE_TLS_KEY", values.text, None, "The file (PEM) with the certificate's key.")
    tls_key_password: str | None = setting(
        "FHIRSTORE_TLS_KEY_PASSWORD", values.text, None, "The password of the key, where it has one."
    )
    hsts: int | None = setting(
        "FHIRSTORE_HSTS_SECONDS",
        values.count,
        None,
        "For how long browsers must use HTTPS alone here (Strict-Transport-Security); 0: the header is not sent.",
        unset="`31536000` with FHIRSTORE_TLS_CERT, else 0",
    )
    allowed_hosts: tuple[str, ...] | None = setting(
        "FHIRSTORE_ALLOWED_HOSTS",
        values.allowed_hosts,
        None,
        "The host names that requests may be sent to, separated by commas (`*.example.org`: all below it; `*`: any); "
        "others are answered 421.",
        unset="`localhost` and loopback addresses when listening on one without `FHIRSTORE_BASE_URL`, else any",
    )

    @property
    def hsts_seconds(self) -> int:
        """For how long browsers must use HTTPS alone; 0: nothing is said."""
        return (31_536_000 if self.tls_cert else 0) if self.hsts is None else self.hsts
