"""The URLs that client commands are given, or are told by servers."""

from __future__ import annotations

from urllib.parse import urlsplit


def fhir_base(url: str) -> str | None:
    """Returns the FHIR base URL without a slash at its end; None: it is none."""
    if origin_of(url) is None or urlsplit(url).query or urlsplit(url).fragment:
        return None
    return url.rstrip("/")


def origin_of(url: str) -> tuple[str, str, int] | None:
    """Returns scheme, host and port, which decide who gets credentials; None: not an http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        return None
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)


def shown(url: str) -> str:
    """Returns the URL as messages may show it: without user, query and fragment, which may be secret."""
    origin = origin_of(url)
    if origin is None:
        return "(not a URL)"
    scheme, host, port = origin
    usual = port == (443 if scheme == "https" else 80)
    named = f"[{host}]" if ":" in host else host
    return f"{scheme}://{named}{'' if usual else f':{port}'}{urlsplit(url).path}"
