"""What a request did, for the audit trail: the interaction says it, the edge of the API reads it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope

from fhirstore import BundleResult, Pairs, TenantStore, Version
from server.http.paths import Endpoint

TOUCHED = "fhirstore.touched"
"""Key in the scope of a request: its `Touched`; not there where there is no audit trail."""


class Touched:
    """A request under way. `endpoint`, `tenant`: None until they are found.

    `admitted`: there was room for its event. `versions`: those that were shown or written. `bundle`: what became of a
    Bundle's entries. `job`: what was begun, or asked for. `about`: type and id of the resource whose compartment is
    searched. `criteria`: the parameters of a search, from URL and form; None: those of the URL. `client`, `user`: whom
    the access token names.
    """

    # Class attributes and no __init__: every request makes one.
    endpoint: Endpoint | None = None
    tenant: TenantStore | None = None
    admitted = False
    versions: tuple[Version, ...] = ()
    bundle: BundleResult | None = None
    job = ""
    about = ("", "")
    criteria: Pairs | None = None
    client = ""
    user = ""


def touch(scope: Scope, versions: Sequence[Version]) -> None:
    """Says which versions the request shows or has written."""
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.versions += tuple(versions)


def touch_agent(scope: Scope, *, client: str, user: str = "", tenant: TenantStore | None = None) -> None:
    """Says who sends the request, as far as it is proven. `user`: "" where there is none but the client itself.

    `tenant`: whose client it is, where the request itself is of no tenant.
    """
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.tenant = touched.tenant or tenant
        touched.client = client
        touched.user = "" if user == client else user


def touch_search(scope: Scope, criteria: Pairs, versions: Sequence[Version]) -> None:
    """Says what the request searches by, and which versions it shows."""
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.criteria = criteria
        touched.versions = tuple(versions)


def touch_owner(scope: Scope, type: str, id: str) -> None:
    """Says of which resource the request searches what belongs to it."""
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.about = (type, id)


def touch_bundle(scope: Scope, result: BundleResult) -> None:
    """Says what became of the entries of the request's Bundle."""
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.bundle = result


def touch_job(scope: Scope, job: str) -> None:
    """Says which job the request has begun."""
    touched: Touched | None = scope.get(TOUCHED)
    if touched is not None:
        touched.job = job
