"""How many storage requests each operation takes. tests/costs measures every one and compares it with this table.

The verbs are those of `fhirstore.objects`: a bucket bills each of them. Sweeps, retries and a store that is contended
come on top. Each identifier that a write adds, and each identifier system, is one PUT more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VERBS = ("PUT", "POST", "LIST", "GET", "HEAD", "DELETE")

_THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation on `n` resources. `once`, `each`, `thousand`: requests by verb, in all, for each of the resources,
    and for each thousand of them that is begun.
    """

    name: str
    once: Mapping[str, int] = field(default_factory=dict)
    each: Mapping[str, int] = field(default_factory=dict)
    thousand: Mapping[str, int] = field(default_factory=dict)

    @property
    def of_many(self) -> bool:
        """Whether the number of resources matters."""
        return bool(self.each or self.thousand)

    def requests(self, n: int = 1) -> dict[str, int]:
        """Returns the requests by verb, in the order of `VERBS`, without those there are none of."""
        thousands = -(-n // _THOUSAND)
        counts = {
            verb: self.once.get(verb, 0) + n * self.each.get(verb, 0) + thousands * self.thousand.get(verb, 0)
            for verb in VERBS
        }
        return {verb: count for verb, count in counts.items() if count}


LARGE_BINARY = "create of a large Binary, n parts of 8 MiB"
"""The content of a Binary above FHIRSTORE_INLINE_BYTES; of two parts or more. A single part takes no POST."""

_UPDATE = {"GET": 1, "PUT": 4}

OPERATIONS: Mapping[str, Operation] = {
    one.name: one
    for one in (
        Operation("create", {"PUT": 4}),
        Operation("create with n identifiers of n systems", {"PUT": 4}, {"PUT": 2}),
        Operation("conditional create, no match", {"LIST": 2, "PUT": 7}),
        Operation("conditional create, a match", {"LIST": 1, "GET": 1}),
        Operation("read", {"GET": 1}),
        Operation("vread", {"GET": 2}),
        Operation("update", _UPDATE),
        Operation("update of what the process read or wrote last", {"PUT": 4}),
        Operation("patch", _UPDATE),
        Operation("delete", _UPDATE),
        Operation("search by _id, n ids", {}, {"GET": 1}),
        Operation("search by identifier, n matches", {"LIST": 1}, {"GET": 1}),
        Operation("search of a type, page of n", {"LIST": 1}, {"GET": 1}),
        Operation("history of a resource, page of n", {}, {"GET": 1}),
        Operation("history of a type, page of n current versions", {"LIST": 1}, {"GET": 1}),
        Operation("transaction of n creates", {"PUT": 1}, {"PUT": 5}),
        Operation("transaction of n updates", {"PUT": 1}, {"GET": 1, "PUT": 5}),
        Operation("batch of n creates", {}, {"PUT": 4}),
        Operation(LARGE_BINARY, {"POST": 2, "PUT": 7, "GET": 1}, {"PUT": 1}),
        Operation("read of a large Binary with its content", {"GET": 2}),
        Operation("export of n resources of a type", {}, {"GET": 1}, {"LIST": 1}),
    )
}
"""Every operation by its name."""
