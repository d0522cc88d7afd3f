"""Does what `fhirstore cost` was asked for, and prints it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from rich.console import Console

from server.commands.cost.prices import BadPrices, read_prices
from server.commands.cost.report import CostReport, priced_operations, priced_storage, priced_traffic
from server.commands.cost.scrape import BadScrape, read_scrape
from server.commands.each_tenant import FAILED

_MOST_BYTES = 64 * 1024 * 1024

Stored = Mapping[str, tuple[int, int]]
"""Objects and bytes of each tenant."""


class _Measured(msgspec.Struct):
    """What is read of a tenant in the JSON of `fhirstore stats`."""

    objects: int
    bytes: int


class _BadStats(Exception):
    """The file is not what `fhirstore stats --json` prints."""


def run_cost(
    *,
    prices: Path | None,
    n: int,
    metrics: str | None,
    stats: Path | None,
    measure: Callable[[], Stored | None] | None,
    as_json: bool,
) -> int:
    """Prints prices: of the operations, unless `metrics` or the storage are asked for; then of those.

    `measure`: counts the storage now; None: it was not asked for. Returns 0; 2 where a file, a URL or the store cannot
    be read.
    """
    try:
        known = read_prices(prices)
        traffic = priced_traffic(known, read_scrape(metrics)) if metrics is not None else {}
        stored: Stored | None = _read_stats(stats) if stats is not None else {}
    except (BadPrices, BadScrape, _BadStats) as error:
        sys.stderr.write(f"fhirstore: {error}\n")
        return FAILED
    if measure is not None:
        stored = measure()
    if stored is None:  # why not was said
        return FAILED
    only_operations = metrics is None and stats is None and measure is None
    report = CostReport(
        known, priced_operations(known, n) if only_operations else (), traffic, priced_storage(known, stored)
    )
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report.as_json())).decode() + "\n")
    else:
        Console(soft_wrap=True).print(report.render())
    return 0


def _read_stats(path: Path) -> Stored:
    try:
        with path.open("rb") as file:
            body = file.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise _BadStats(f"{path}: is larger than {_MOST_BYTES:,} bytes")
        found = msgspec.json.decode(body, type=dict[str, _Measured])
    except OSError as error:
        raise _BadStats(f"{path}: cannot be read ({error.strerror or 'it is no file'})") from None
    except msgspec.MsgspecError as error:
        raise _BadStats(f"{path}: is not what `fhirstore stats --json` prints ({error})") from None
    return {name: (one.objects, one.bytes) for name, one in found.items()}
