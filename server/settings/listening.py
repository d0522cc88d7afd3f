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
    allowed_hosts: tuple[str, ...] | None = setting(
        "FHIRSTORE_ALLOWED_HOSTS",
        values.allowed_hosts,
        None,
        "The host names that requests may be sent to, separated by commas (`*.example.org`: all below it; `*`: any); "
        "others are answered 421.",
        unset="`localhost` and loopback addresses when listening on one without `FHIRSTORE_BASE_URL`, else any",
    )
