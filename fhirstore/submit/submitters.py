"""Who may submit: the submitters that the operator has configured.

A JSON document, `{"submitters": [{…}, …]}`, or the same in TOML; every member as in `Submitter`. Secrets are not in it:
a member that names one is the name of an environment variable, as `env:NAME`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from fhirstore.errors import StoreMisconfigured, UnknownSubmitter
from fhirstore.format.keyspace import is_tenant_id

Mode: TypeAlias = Literal["replace", "merge-patch", "create-only", "skip-unchanged"]
"""What a line does to a resource that exists: becomes its next version; is merged into it; leaves it alone; becomes its
next version unless it equals the current one."""

MODES: tuple[Mode, ...] = ("replace", "merge-patch", "create-only", "skip-unchanged")
_ENV = "env:"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\*\.{_LABEL}(?:\.{_LABEL})+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?")


class Submitter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One submitter.

    `identifier`: `system|value`. `tenant`: whose resources it writes. `hosts`: names (`files.example.org`,
    `*.example.org`, with `:port` where it is not the scheme's own) that may be fetched from, by https, and by http if
    `plain_http`; `private_addresses`: also where they resolve to addresses that are not public. `folders`: folders of
    this machine for `file:` URLs. `buckets`: `s3://bucket/prefix/` for such URLs.

    `ids`: `keep` stores a resource under the id it has at its source; `remap` under an id derived from it, so that two
    sources never meet. `mode`: of a request that names none; `modes`: those that a request may name.

    `client_id`, `client_key`: for OAuth at the provider, the key as JWK. `decryption_key`: JWK for encrypted files.
    """

    identifier: str
    tenant: str
    hosts: tuple[str, ...] = ()
    plain_http: bool = False
    private_addresses: bool = False
    folders: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    ids: Literal["keep", "remap"] = "keep"
    mode: Mode = "replace"
    modes: tuple[Mode, ...] = MODES
    client_id: str | None = None
    client_key: str | None = None
    decryption_key: str | None = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The members that refer to the environment."""
        return tuple(value for value in (self.client_key, self.decryption_key) if value is not None)


class _Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    submitters: tuple[Submitter, ...] = ()


class Submitters:
    """All submitters of a deployment."""

    def __init__(self, submitters: Iterable[Submitter] = ()) -> None:
        """Raises StoreMisconfigured, with one line that says what to correct."""
        self._known: dict[str, Submitter] = {}
        for one in submitters:
            _check(one)
            if one.identifier in self._known:
                raise StoreMisconfigured(detail=f"submitter '{one.identifier}' is configured twice")
            self._known[one.identifier] = one

    @classmethod
    def read(cls, path: Path) -> Submitters:
        """Reads the file. Raises StoreMisconfigured, with one line that says what to correct."""
        try:
            body = path.read_bytes()
            if path.suffix == ".toml":
                return cls(msgspec.toml.decode(body, type=_Configuration).submitters)
            return cls(msgspec.json.decode(body, type=_Configuration).submitters)
        except OSError as error:
            raise StoreMisconfigured(detail=f"{path}: {error.strerror or error}") from error
        except (msgspec.MsgspecError, ValueError) as error:
            raise StoreMisconfigured(detail=f"{path}: {error}") from error

    def find(self, identifier: str, tenant: str) -> Submitter:
        """Returns the submitter of this tenant with this identifier, `system|value`. Raises UnknownSubmitter."""
        known = self._known.get(identifier)
        if known is None or known.tenant != tenant:
            raise UnknownSubmitter("This submitter is not configured here; ask the operator to add it")
        return known


def _check(one: Submitter) -> None:
    _, bar, value = one.identifier.partition("|")
    if not bar or not value or len(one.identifier) > 1_000:
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': an identifier is system|value")
    if not is_tenant_id(one.tenant):
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': '{one.tenant}' is no tenant id")
    if one.mode not in one.modes:
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': its mode is not one of its modes")
    if any(not secret.startswith(_ENV) for secret in one.secrets):
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': name a secret as env:NAME, do not write it")
    if any(not _HOST.fullmatch(host) for host in one.hosts):
        raise StoreMisconfigured(
            detail=f"submitter '{one.identifier}': a host is a name, or *. and two labels, with :port if any"
        )
    if any(not bucket.startswith("s3://") for bucket in one.buckets):
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': a bucket is s3://bucket/prefix/")
    if one.client_key is not None and one.client_id is None:
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': client_key needs client_id beside it")
    if any(not Path(folder).is_absolute() for folder in one.folders):
        raise StoreMisconfigured(detail=f"submitter '{one.identifier}': a folder is an absolute path")
