"""`fhirstore cost` prices operations, requests and storage; each figure here was computed by hand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhirstore import FhirStore
from server.cli import app
from server.commands.cost.prices import BadPrices, read_prices
from server.commands.cost.scrape import BadScrape, parsed

# Per 1,000 requests PUT, POST and LIST cost $0.005, GET and HEAD $0.0004: Amazon's list prices.
PER_THOUSAND = {
    "create": "0.02",  # 4 PUT
    "create with n identifiers of n systems": "0.12",  # 24 PUT
    "conditional create, no match": "0.045",  # 7 PUT + 2 LIST
    "conditional create, a match": "0.0054",  # 1 LIST + 1 GET
    "read": "0.0004",  # 1 GET
    "vread": "0.0008",  # 2 GET
    "update": "0.0204",  # 4 PUT + 1 GET
    "update of what the process read or wrote last": "0.02",  # 4 PUT
    "patch": "0.0204",
    "delete": "0.0204",
    "search by _id, n ids": "0.004",  # 10 GET
    "search by identifier, n matches": "0.009",  # 1 LIST + 10 GET
    "search of a type, page of n": "0.009",
    "history of a resource, page of n": "0.004",
    "history of a type, page of n current versions": "0.009",
    "transaction of n creates": "0.255",  # 51 PUT
    "transaction of n updates": "0.259",  # 51 PUT + 10 GET
    "batch of n creates": "0.2",  # 40 PUT
    "create of a large Binary, n parts of 8 MiB": "0.0954",  # 17 PUT + 2 POST + 1 GET
    "read of a large Binary with its content": "0.0008",
    "export of n resources of a type": "0.009",  # 10 GET + 1 LIST
}
GIB = 2**30


def test_the_price_of_each_operation_is_the_one_computed_by_hand() -> None:
    """With 10 resources in a page or Bundle; an export of 1,000 costs what its 1,000 GET and one LIST cost."""
    found = json.loads(CliRunner().invoke(app, ["cost", "--json"]).stdout)
    assert {one["operation"]: one["per1000"] for one in found["operations"]} == PER_THOUSAND
    assert found["prices"]["currency"] == "USD"
    large = json.loads(CliRunner().invoke(app, ["cost", "--items", "1000", "--json"]).stdout)
    export = next(one for one in large["operations"] if one["operation"].startswith("export"))
    assert (export["requests"], export["per1000"]) == ({"LIST": 1, "GET": 1000}, "0.405")
    shown = CliRunner().invoke(app, ["cost"]).stdout
    assert "0.0204" in shown and "USD per 1,000" in shown


PRICES = """
name = "Ours"
currency = "EUR"
as_of = 2026-01-01
source = "the contract"
[requests]
PUT = 1
POST = 2
LIST = 3
GET = 4
HEAD = 5
DELETE = 6
[[storage]]
up_to = 1
price = 10
[[storage]]
price = 1.5
"""


def test_storage_is_priced_in_tiers_that_the_tenants_share(tmp_path: Path) -> None:
    """4 GiB: the first at 10, three at 1.5; a tenant with a quarter of the bytes pays a quarter of it."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    stats = tmp_path / "stats.json"
    stats.write_text(json.dumps({"a": {"objects": 1, "bytes": GIB}, "b": {"objects": 2, "bytes": 3 * GIB}}))
    found = json.loads(
        CliRunner().invoke(app, ["cost", "--prices", str(prices), "--from-stats", str(stats), "--json"]).stdout
    )
    assert found["storage"] == {
        "a": {"objects": 1, "bytes": GIB, "perMonth": "3.625"},
        "b": {"objects": 2, "bytes": 3 * GIB, "perMonth": "10.875"},
    }
    assert found["operations"] == []


async def _create(location: str) -> None:
    async with FhirStore.open(location) as store:
        await store.tenant("default").create({"resourceType": "Patient"})


def test_storage_is_counted_in_the_store(tmp_path: Path) -> None:
    """`--storage` has the objects and bytes of `stats`, and so has its output given back as a file."""
    location = f"file:{tmp_path / 'store'}"
    asyncio.run(_create(location))
    counted = CliRunner().invoke(app, ["stats", "--store", location, "--json"]).stdout
    (tmp_path / "stats.json").write_text(counted)
    measured = CliRunner().invoke(app, ["cost", "--storage", "--store", location, "--json"])
    given = CliRunner().invoke(app, ["cost", "--from-stats", str(tmp_path / "stats.json"), "--json"])
    assert measured.exit_code == given.exit_code == 0, measured.output
    assert json.loads(measured.stdout)["storage"] == json.loads(given.stdout)["storage"]
    assert json.loads(measured.stdout)["storage"]["default"]["objects"] == 4


SCRAPE = """# HELP fhirstore_storage_requests_total x
# TYPE fhirstore_storage_requests_total counter
fhirstore_storage_requests_total{tenant="a",verb="PUT",outcome="ok"} 3000.0
fhirstore_storage_requests_total{verb="PUT",tenant="a",outcome="failed"} 1e3
fhirstore_storage_requests_total{tenant="a",verb="get"} 10000 1700000000000
fhirstore_storage_requests_total{tenant="b \\"quoted\\"",verb="LIST"} 1
fhirstore_storage_repeats_total{tenant="a",verb="PUT",reason="busy"} 1000
fhirstore_storage_requests_created{tenant="a",verb="PUT"} 1.7e+09
fhirstore_storage_bytes_total{tenant="a",direction="read"} 2147483648
fhirstore_storage_bytes_total{tenant="a",direction="written"} 5
other_total{verb="PUT"} 7
"""


def test_requests_of_a_scrape_are_priced_by_tenant(tmp_path: Path) -> None:
    """5,000 PUT, repeats among them, and 10,000 GET are $0.029; other labels are summed over; 2 GiB out are $0.18."""
    file = tmp_path / "metrics.txt"
    file.write_text(SCRAPE)
    result = CliRunner().invoke(app, ["cost", "--from-metrics", str(file), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["requests"]
    assert found["a"] == {
        "requests": {"PUT": 5000, "GET": 10000},
        "price": "0.029",
        "bytesRead": 2 * GIB,
        "transfer": "0.18",
    }
    assert found['b "quoted"']["requests"] == {"LIST": 1}


@pytest.fixture
def page() -> Iterator[str]:
    """The URL of a page that has the scrape."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write(SCRAPE.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_scrape_is_fetched_by_its_url(page: str) -> None:
    """The same as from a file; another status than 200 is told."""
    result = CliRunner().invoke(app, ["cost", "--from-metrics", f"{page}/metrics"])
    assert result.exit_code == 0, result.output
    assert "0.029" in result.stdout
    missing = CliRunner().invoke(app, ["cost", "--from-metrics", f"{page}/none"])
    assert (missing.exit_code, "404" in missing.stderr) == (2, True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('fhirstore_storage_requests_total{verb="BREW"} 1', "BREW"),
        ("fhirstore_storage_requests_total{verb=PUT} 1", "labels"),
        ('fhirstore_storage_requests_total{verb="PUT"} -1', "count"),
        ('fhirstore_storage_requests_total{verb="PUT"} NaN', "count"),
        ('fhirstore_storage_requests_total{verb="PUT"}', "sample"),
    ],
)
def test_a_scrape_that_cannot_be_read_is_refused(line: str, why: str) -> None:
    """The message names the line."""
    with pytest.raises(BadScrape, match=why):
        parsed(["", line])


def test_what_is_not_there_ends_with_2(tmp_path: Path) -> None:
    """A file that is missing or of another kind, a URL where nothing listens, and a page without our metric."""
    other = tmp_path / "other.txt"
    other.write_text("up 1\n")
    for arguments in (
        ["--prices", str(tmp_path / "none.toml")],
        ["--from-metrics", str(other)],
        ["--from-metrics", "http://127.0.0.1:1/metrics"],
        ["--from-stats", str(other)],
        ["--storage", "--from-stats", str(other)],
    ):
        result = CliRunner().invoke(app, ["cost", *arguments])
        assert result.exit_code == 2, arguments
        assert result.stderr.startswith("fhirstore: ")


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("PUT = 1", "", "PUT is missing"),
        ("PUT = 1", "PUT = -1", "0 or more"),
        ("PUT = 1", "PUT = nan", "0 or more"),
        ("PUT = 1", "PUT = 1\nBREW = 1", "BREW: no such key"),
        ("up_to = 1", "", "have up_to"),
        ("price = 1.5", "price = 1.5\nup_to = 7", "the last tier has no up_to"),
        ("as_of = 2026-01-01", 'as_of = "new year"', "as_of"),
        ('name = "Ours"', "", "name"),
        ("[requests]", "nonsense", "no TOML"),
    ],
)
def test_wrong_prices_are_refused(tmp_path: Path, old: str, new: str, why: str) -> None:
    """The message names the key."""
    file = tmp_path / "prices.toml"
    file.write_text(PRICES.replace(old, new))
    with pytest.raises(BadPrices, match=why):
        read_prices(file)


def test_amounts_are_exact() -> None:
    """A million GETs cost 40 cents, not 0.4000000001."""
    assert read_prices(None).of_requests({"GET": 1_000_000}) == Decimal("0.4")
