"""A file of prices: what a bucket's provider bills for requests, storage and bytes that leave it. TOML:

    name = "AWS S3 Standard, us-east-1"
    currency = "USD"
    as_of = 2026-11-01
    source = "https://aws.amazon.com/s3/pricing/"

    [requests]                # of 1,000 requests; all six verbs
    PUT = 0.005
    …

    [[storage]]               # of a GiB and month; `up_to`: GiB of the whole bucket, left out in the last tier
    up_to = 51200
    price = 0.023

    [transfer]
    out = 0.09                # of a GiB that leaves the bucket for other networks; optional

Amounts are exact decimals.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from pathlib import Path

from server.commands.cost.operations import VERBS

GIB = 2**30
SHIPPED = "aws-s3-us-east-1.toml"
"""The file that is used when none is named."""

_MOST_BYTES = 64 * 1024
_MOST_TIERS = 20
_TOP = frozenset({"name", "currency", "as_of", "source", "requests", "storage", "transfer"})


class BadPrices(Exception):
    """The file cannot be used; the message names what is wrong in it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """The price of a GiB and month, for the part of the bucket up to this size (GiB; None: for all the rest)."""

    up_to: Decimal | None
    price: Decimal


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of a provider. `requests`: of 1,000 requests, by verb. `out`: of a GiB that leaves; None: not said."""

    name: str
    currency: str
    as_of: str
    source: str
    requests: Mapping[str, Decimal]
    storage: tuple[Tier, ...]
    out: Decimal | None

    def of_requests(self, counts: Mapping[str, int]) -> Decimal:
        """Returns the price of so many requests by verb."""
        return sum((self.requests[verb] * count for verb, count in counts.items()), Decimal(0)) / 1_000

    def of_storage(self, size: int) -> Decimal:
        """Returns the price of a month of so many bytes, the whole bucket."""
        gib, below, price = Decimal(size) / GIB, Decimal(0), Decimal(0)
        for tier in self.storage:
            upto = gib if tier.up_to is None else min(gib, tier.up_to)
            price += max(upto - below, Decimal(0)) * tier.price
            below = upto
        return price

    def of_transfer(self, size: int) -> Decimal:
        """Returns the price of so many bytes that leave the bucket; 0 where the file does not say it."""
        return (self.out or Decimal(0)) * size / GIB


def read_prices(path: Path | None) -> Prices:
    """Returns the prices of a file; None: of the one that is shipped. Raises BadPrices, naming every error."""
    if path is None:
        return _parsed((files("server.commands.cost") / SHIPPED).read_text("utf-8"))
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise BadPrices(f"{path}: cannot be read ({error.strerror or 'it is no file'})") from None
    if len(body) > _MOST_BYTES:
        raise BadPrices(f"{path}: is larger than {_MOST_BYTES:,} bytes")
    try:
        return _parsed(body.decode())
    except UnicodeDecodeError:
        raise BadPrices(f"{path}: is not in UTF-8") from None
    except BadPrices as error:
        raise BadPrices(f"{path}: {error}") from None


def _parsed(text: str) -> Prices:
    try:
        found = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise BadPrices(f"is no TOML: {error}") from None
    wrong = [f"{key}: no such key" for key in found if key not in _TOP]
    name, currency, source = (_text(found, key, wrong) for key in ("name", "currency", "source"))
    as_of = found.get("as_of")
    if not isinstance(as_of, datetime.date):
        wrong.append("as_of: must be a date, like 2026-11-01")
    requests = _amounts(found, "requests", frozenset(VERBS), wrong)
    if missing := [verb for verb in VERBS if verb not in requests]:
        wrong.append(f"[requests]: the price of {', '.join(missing)} is missing")
    storage = _tiers(found.get("storage"), wrong)
    out = _amounts(found, "transfer", frozenset({"out"}), wrong) if "transfer" in found else {}
    if wrong:
        raise BadPrices("; ".join(wrong))
    return Prices(name, currency, str(as_of), source, requests, storage, out.get("out"))


def _text(found: Mapping[str, object], key: str, wrong: list[str]) -> str:
    value = found.get(key)
    if isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200:
        return value
    wrong.append(f"{key}: must be a line of text")
    return ""


def _amounts(found: Mapping[str, object], key: str, names: frozenset[str], wrong: list[str]) -> dict[str, Decimal]:
    table = found.get(key)
    if not isinstance(table, dict):
        wrong.append(f"[{key}]: is missing")
        return {}
    wrong += [f"[{key}] {name}: no such key" for name in table if name not in names]
    amounts = {name: _amount(value, f"[{key}] {name}", wrong) for name, value in table.items() if name in names}
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _amount(value: object, where: str, wrong: list[str]) -> Decimal | None:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        amount = Decimal(value)
        if amount.is_finite() and 0 <= amount < 10**9:
            return amount
    wrong.append(f"{where}: must be a number, 0 or more")
    return None


def _tiers(found: object, wrong: list[str]) -> tuple[Tier, ...]:
    """Returns the tiers of storage; what is wrong in them is added to `wrong`."""
    if not isinstance(found, list) or not found or len(found) > _MOST_TIERS:
        wrong.append(f"[[storage]]: 1 to {_MOST_TIERS} tiers are needed")
        return ()
    tiers: list[Tier] = []
    for n, table in enumerate(found, 1):
        where = f"[[storage]] {n}"
        if not isinstance(table, dict) or not set(table) <= {"up_to", "price"}:
            wrong.append(f"{where}: has price and up_to, and no other key")
            continue
        price = _amount(table.get("price"), f"{where} price", wrong)
        up_to = _amount(table["up_to"], f"{where} up_to", wrong) if "up_to" in table else None
        last = n == len(found)
        if last == ("up_to" in table):
            wrong.append(
                f"{where}: the last tier has no up_to" if last else f"{where}: all tiers but the last have up_to"
            )
        elif up_to is not None and tiers and up_to <= (tiers[-1].up_to or 0):
            wrong.append(f"{where}: up_to must be more than that of the tier before")
        tiers.append(Tier(up_to, price or Decimal(0)))
    return tuple(tiers)
