"""What the operations, the requests of servers and the storage of tenants cost, by a file of prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table

from server.commands.cost.operations import OPERATIONS
from server.commands.cost.prices import Prices
from server.commands.cost.scrape import Traffic

_THOUSAND = 1_000


@dataclass(frozen=True, slots=True)
class OperationPrice:
    """The price of 1,000 such operations, each on `n` resources (None: on one, as always)."""

    name: str
    n: int | None
    requests: Mapping[str, int]
    price: Decimal


@dataclass(frozen=True, slots=True)
class TrafficPrice:
    """The price of the requests of a tenant. `transfer`: of the bytes read, as if all had left the provider."""

    requests: Mapping[str, int]
    price: Decimal
    read: int
    transfer: Decimal


@dataclass(frozen=True, slots=True)
class StoragePrice:
    """The price of a month of a tenant's bytes. Where larger buckets are cheaper, the tenants share the gain."""

    objects: int
    size: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class CostReport:
    """All that was asked for; empty mappings for what was not."""

    prices: Prices
    operations: tuple[OperationPrice, ...]
    traffic: Mapping[str, TrafficPrice]
    storage: Mapping[str, StoragePrice]

    def as_json(self) -> dict[str, object]:
        """Returns the report as plain JSON values; amounts are numbers in text, and exact."""
        prices = self.prices
        return {
            "prices": {
                "name": prices.name,
                "currency": prices.currency,
                "asOf": prices.as_of,
                "source": prices.source,
            },
            "operations": [
                {"operation": one.name, "n": one.n, "requests": dict(one.requests), "per1000": plain(one.price)}
                for one in self.operations
            ],
            "requests": {
                name: {
                    "requests": dict(one.requests),
                    "price": plain(one.price),
                    "bytesRead": one.read,
                    "transfer": plain(one.transfer),
                }
                for name, one in self.traffic.items()
            },
            "storage": {
                name: {"objects": one.objects, "bytes": one.size, "perMonth": plain(one.price)}
                for name, one in self.storage.items()
            },
        }

    def render(self) -> RenderableType:
        """Returns the report as tables."""
        currency = self.prices.currency
        shown: list[RenderableType] = [
            f"{self.prices.name}, as of {self.prices.as_of} ({self.prices.source}), in {currency}"
        ]
        if self.operations:
            table = _table(("operation", "n", "requests of one", f"{currency} per 1,000"))
            for priced in self.operations:
                n = "" if priced.n is None else str(priced.n)
                table.add_row(priced.name, n, sentence(priced.requests), plain(priced.price))
            shown.append(table)
        if self.traffic:
            table = _table(("tenant", "requests", currency, "bytes read", f"{currency} if they left"))
            for name, sent in self.traffic.items():
                row = (sentence(sent.requests), plain(sent.price), f"{sent.read:,}", plain(sent.transfer))
                table.add_row(name, *row)
            shown.append(table)
        if self.storage:
            table = _table(("tenant", "objects", "bytes", f"{currency} per month"))
            for name, kept in self.storage.items():
                table.add_row(name, f"{kept.objects:,}", f"{kept.size:,}", plain(kept.price))
            shown.append(table)
        return Group(*shown)


def priced_operations(prices: Prices, n: int) -> tuple[OperationPrice, ...]:
    """Returns the price of each operation; of those on several resources, on `n` of them."""
    return tuple(
        OperationPrice(one.name, n if one.of_many else None, counts, prices.of_requests(counts) * _THOUSAND)
        for one in OPERATIONS.values()
        for counts in (one.requests(n),)
    )


def priced_traffic(prices: Prices, traffic: Mapping[str, Traffic]) -> dict[str, TrafficPrice]:
    """Returns the price of what each tenant's requests came to."""
    return {
        name: TrafficPrice(one.requests, prices.of_requests(one.requests), one.read, prices.of_transfer(one.read))
        for name, one in sorted(traffic.items())
    }


def priced_storage(prices: Prices, stored: Mapping[str, tuple[int, int]]) -> dict[str, StoragePrice]:
    """Returns the price of each tenant's (objects, bytes): its share, by bytes, of the price of all together."""
    total = sum(size for _, size in stored.values())
    together = prices.of_storage(total)
    return {
        name: StoragePrice(objects, size, together * size / total if total else Decimal(0))
        for name, (objects, size) in stored.items()
    }


def sentence(requests: Mapping[str, int]) -> str:
    """Returns counts in words: `1 GET + 4 PUT`."""
    return " + ".join(f"{count:,} {verb}" for verb, count in requests.items() if count) or "none"


def plain(amount: Decimal) -> str:
    """Returns an amount without exponent and without zeros at its end, to a millionth; what is less shows as 0."""
    rounded = amount.quantize(Decimal("0.000001")).normalize()
    return f"{rounded:f}"


def _table(headings: tuple[str, ...]) -> Table:
    table = Table(*headings, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    return table
