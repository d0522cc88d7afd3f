"""One tenant's store: a class whose methods are the interactions, in a file for each kind of them."""

from fhirstore.tenant.store import TenantStore

__all__ = ["TenantStore"]
