"""What each tenant may use and how long its data is kept: the file that FHIRSTORE_TENANT_SETTINGS names.

A TOML document with a table for each tenant, by its id, and `[default]` for all that a tenant's own table does not say:

    [default]
    requests_per_second = 200

    [clinic-a]
    requests_per_second = 1000
    concurrent_requests = 64

It is read when a process starts. A tenant whose id is `default` has the table of that name.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fhirstore import is_tenant_id
from server.settings import values

DEFAULT = "default"
_MOST_BYTES = 4 * 1024 * 1024  # of the file: 100 bytes for each of 40,000 tenants
_LARGEST = 10**15


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """The settings of one tenant. None: no limit, or never.

    The limits on requests hold for each server process; bytes are those of the bodies of requests and of answers.
    `weight`: the tenant's share of a process that has more requests than it works on at once; one with 2 gets twice
    what one with 1 gets. `kms_key`: the key of KMS that S3 encrypts the tenant's new objects with (SSE-KMS).
    """

    requests_per_second: float | None = None
    bytes_per_second: float | None = None
    concurrent_requests: int | None = None
    weight: int = 1
    archive_after_days: int | None = None
    exports_expire_after_days: int | None = None
    kms_key: str | None = None

    @property
    def limited(self) -> bool:
        """Whether any limit on requests is set."""
        limits = (self.requests_per_second, self.bytes_per_second, self.concurrent_requests)
        return any(limit is not None for limit in limits)


Tables = Mapping[str, Mapping[str, int | float | str]]
"""What a file says: the members of `TenantSettings` that it sets, by tenant, and those of `DEFAULT`."""


def read_file(path: str) -> Tables:
    """Returns what the file says. Raises ValueError that names every error: a key or value that cannot be.

    Which tenants exist is not known here; `unknown_tenants` checks that.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"the file is larger than {_MOST_BYTES:,} bytes")
        found = tomllib.loads(text.decode())
    except OSError as error:
        raise ValueError(f"the file cannot be read ({error.strerror or 'it is no file'})") from None
    except UnicodeDecodeError:
        raise ValueError("the file is not in UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"the file is no TOML: {error}") from None
    wrong = [sentence for tenant, table in found.items() for sentence in _wrong(tenant, table)]
    if wrong:
        raise ValueError(", ".join(wrong))
    return found


def settings_of(tenant: str, tables: Tables, default: TenantSettings) -> TenantSettings:
    """Returns the settings of a tenant: its own table's, else those of `[default]`, else those of `default`."""
    return replace(default, **{**tables.get(DEFAULT, {}), **tables.get(tenant, {})})  # type: ignore[arg-type] # checked


def unknown_tenants(tables: Tables, tenants: Collection[str] | None) -> list[str]:
    """Returns the tenants that have a table and do not exist. `tenants` None: all may."""
    return [] if tenants is None else [name for name in tables if name != DEFAULT and name not in tenants]


def _wrong(tenant: str, table: object) -> Iterator[str]:
    """Yields what is wrong in the table of one tenant."""
    if not isinstance(table, dict):
        yield f"{tenant!r} stands outside of a table; begin with [{DEFAULT}] or [tenant]"
    elif not is_tenant_id(tenant):
        yield f"[{tenant}] is no tenant id"
    else:
        for key, value in table.items():
            form = _FORMS.get(key)
            if form is None:
                near = difflib.get_close_matches(key, _FORMS, n=1, cutoff=0.5)
                yield f"[{tenant}] {key}: no such key; " + (
                    f"did you mean {near[0]}?" if near else f"there are {', '.join(_FORMS)}"
                )
            elif (told := form(value)) is not None:
                yield f"[{tenant}] {key}: must be {told}"


def _rate(value: object) -> str | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _LARGEST
    return None if good else "a positive number"


def _whole(most: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
        return None if good else f"a positive whole number, {most:,} at most"

    return check


def _kms_key(value: object) -> str | None:
    try:
        values.kms_key(value if isinstance(value, str) else "")
    except ValueError:
        return "the id, ARN or alias of a KMS key"
    return None


_FORMS: Mapping[str, Callable[[object], str | None]] = {
    "requests_per_second": _rate,
    "bytes_per_second": _rate,
    "concurrent_requests": _whole(1_000_000),
    "weight": _whole(100),
    "archive_after_days": _whole(36_500),
    "exports_expire_after_days": _whole(36_500),
    "kms_key": _kms_key,
}
"""What the value of each key may be: returns the form that it must have, or None where it has it."""
