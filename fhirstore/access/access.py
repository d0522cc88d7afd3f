"""An access: who asks, and what was granted. Made by a server from a token that it has verified."""

from __future__ import annotations

from dataclasses import dataclass, field

from fhirstore.access.scopes import ADMIN, BULK_SUBMIT, METRICS, Scope

_STAFF = ("Practitioner/", "PractitionerRole/")


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """What one client may do in a tenant. `TenantStore.acting` enforces it.

    `subject`: the user or client that acts. `client`: the client that the token was given to; exports, uploads and
    Idempotency-Keys belong to it. `tenant`: None where the token names none. `others`: scopes that are not about types.
    `patient`: the id of the launch's patient, to whose compartment `patient/` scopes reach. `user`: the `fhirUser`,
    like `Patient/p`; `user/` scopes reach to the compartment of this patient, or of the launch's patient where there is
    no `user`. For other users they grant nothing, unless `users_reach_tenant`: then staff (`Practitioner/…`,
    `PractitionerRole/…`) reaches all of the tenant. `submitters`: the identifiers, `system|value`, for which it may
    submit in bulk; None: none.
    """

    subject: str
    client: str
    tenant: str | None = None
    scopes: tuple[Scope, ...] = ()
    patient: str | None = field(default=None)
    others: frozenset[str] = frozenset()
    user: str | None = None
    submitters: frozenset[str] | None = None
    users_reach_tenant: bool = False

    def __repr__(self) -> str:
        return f"<Access of client {self.client}, {len(self.scopes)} scopes>"

    def may(self, right: str, type: str) -> bool:
        """Whether a scope grants this right ("c", "r", "u", "d", "s") on resources of this type, or on some of them."""
        return any(scope.grants(right, type) and self.reaches(scope) for scope in self.scopes)

    def reaches(self, scope: Scope) -> bool:
        """Whether the scope reaches any resource: a `patient/` scope needs a patient, a `user/` scope a user."""
        return scope.context == "system" or self.whole(scope) or self.compartment(scope) is not None

    def whole(self, scope: Scope) -> bool:
        """Whether the scope reaches to all of the tenant, and not only to a compartment."""
        if scope.context == "user":
            return self.users_reach_tenant and self.user is not None and self.user.startswith(_STAFF)
        return scope.context == "system"

    def compartment(self, scope: Scope) -> str | None:
        """Returns the id of the patient to whose compartment the scope reaches; None if it reaches to none."""
        if scope.context == "system" or self.whole(scope):
            return None
        if scope.context == "user" and self.user is not None:
            type_, _, id_ = self.user.partition("/")
            return id_ if type_ == "Patient" and id_ else None
        return self.patient or None

    @property
    def admin(self) -> bool:
        """Whether it may use the operations of administrators: jobs, purge, metrics, and exports of other clients."""
        return ADMIN in self.others

    @property
    def submits(self) -> bool:
        """Whether it may submit in bulk, for one of its `submitters`."""
        return BULK_SUBMIT in self.others

    @property
    def metrics(self) -> bool:
        """Whether it may read the metrics."""
        return self.admin or METRICS in self.others
