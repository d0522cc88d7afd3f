"""Settings: who may do what, and through which proxies and pages."""

from __future__ import annotations

from dataclasses import dataclass

from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Access:
    """Who may do what, and through which proxies and pages."""

    trusted_proxies: tuple[str, ...] = setting(
        "FHIRSTORE_TRUSTED_PROXIES",
        values.networks,
        (),
        "Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed: addresses and networks, separated by "
        "commas, or `*`.",
    )
    cors_origins: tuple[str, ...] = setting(
        "FHIRSTORE_CORS_ORIGINS",
        values.origins,
        (),
        "The origins whose web pages may use the API, separated by commas, or `*`.",
    )
    enable_purge: bool = setting(
        "FHIRSTORE_ENABLE_PURGE",
        values.flag,
        False,
        "Admit `POST [type]/[id]/$purge`, which removes a resource with its history.",
    )
