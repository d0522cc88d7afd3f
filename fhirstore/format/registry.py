"""The registry of tenants: one object at the root of a store that names the tenants which are served.

It is changed by compare-and-set alone. `EVENTS` is the state machine of a tenant:

* a *live* tenant is served;
* a *leaving* one is not: its data is being looked for, or removed. Only `tenant remove` goes on with it;
* one that the registry does not name does not exist, whatever lies below its prefix.

`KEEP` removes a live tenant and leaves its data; `DROP` one whose data is gone; `STAY` ends a removal that found data.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fhirstore.errors import CorruptRecord, StoreMisconfigured
from fhirstore.format.keyspace import is_tenant_id

REGISTRY = "_tenants/registry.json"
LOG = "_tenants/log/"
"""The folder of the log: an empty object for each change, whose key says it all."""

MOST_TENANTS = 10_000

LIVE, LEAVING = "live", "leaving"
STATES = (None, LIVE, LEAVING)
"""What a tenant can be in; None: the registry does not name it."""

ADD, KEEP, LEAVE, STAY, DROP = "add", "keep", "leave", "stay", "drop"
EVENTS: Mapping[str, Mapping[str | None, str | None]] = {
    ADD: {None: LIVE, LIVE: LIVE},
    LEAVE: {LIVE: LEAVING, LEAVING: LEAVING},
    STAY: {LEAVING: LIVE, LIVE: LIVE},
    DROP: {LEAVING: None, None: None},
    KEEP: {LIVE: None},
}
"""By event and state, the next state. Where a state is missing, the event is refused."""


class Tenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tenant as the registry names it. `added`: epoch ms on the store's clock."""

    state: str
    added: int


class Registry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tenants, by id. `write`: fresh in each write, so that bodies never recur."""

    tenants: Mapping[str, Tenant] = {}
    write: str = ""
    format: int = 1

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    def state(self, tenant: str) -> str | None:
        """Returns the state of a tenant."""
        found = self.tenants.get(tenant)
        return None if found is None else found.state

    def live(self) -> frozenset[str]:
        """Returns the tenants that are served."""
        return frozenset(name for name, tenant in self.tenants.items() if tenant.state == LIVE)

    def after(self, event: str, tenant: str, *, now: int, write: str) -> Registry | None:
        """Returns the registry after an event of a tenant; None where the state refuses it.

        Raises StoreMisconfigured where there are as many tenants as can be.
        """
        state = self.state(tenant)
        if state not in EVENTS[event]:
            return None
        new = EVENTS[event][state]
        tenants = {name: one for name, one in self.tenants.items() if name != tenant}
        if new is not None:
            known = self.tenants.get(tenant)
            tenants[tenant] = Tenant(new, now if known is None else known.added)
        if len(tenants) > MOST_TENANTS:
            raise StoreMisconfigured(REGISTRY, f"there are {MOST_TENANTS:,} tenants already; use another store")
        return Registry(dict(sorted(tenants.items())), write)


_decode = msgspec.json.Decoder(Registry).decode


def decode_registry(body: bytes) -> Registry:
    """Returns the registry. Raises CorruptRecord where it is none."""
    try:
        found = _decode(body)
    except msgspec.MsgspecError as error:
        raise CorruptRecord(REGISTRY) from error
    good = all(is_tenant_id(name) and one.state in STATES for name, one in found.tenants.items())
    if found.format != 1 or not good:
        raise CorruptRecord(REGISTRY)
    return found


def log_key(t: int, event: str, tenant: str, op: str) -> str:
    """Returns the key of the log's object for a change at `t`, epoch ms."""
    return f"{LOG}{t:013d}_{event}_{tenant}_{op}"
