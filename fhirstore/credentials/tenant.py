"""What a server's own token endpoint keeps in one tenant's store."""

from __future__ import annotations

from fhirstore.commit.limits import Context
from fhirstore.credentials.assertions import Assertions
from fhirstore.credentials.clients import Clients
from fhirstore.credentials.signing_keys import SigningKeys
from fhirstore.tenancy import Place


class Credentials:
    """One tenant's `clients`, signing `keys`, and the `assertions` that were used."""

    def __init__(self, place: Place, context: Context) -> None:
        self.clients = Clients(place, context)
        self.keys = SigningKeys(place, context)
        self.assertions = Assertions(place)
