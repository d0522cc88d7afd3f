"""DuckDB reads sealed runs as a user would: from a directory, by presigned URLs, and by Arrow."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest

from conformance.s3servers import S3Server
from fhirstore import FhirStore, RunNotFound, Runs, S3Options
from fhirstore.errors import StoreCannot

SITES = ("north", "a/b c=ü")


async def dataset(runs: Runs) -> None:
    """Sealed runs in two partitions, compressed in different ways, beside one that was not sealed."""
    for site in SITES:
        for day, compression in (("2026-11-27", None), ("2026-11-28", "zstd"), ("2026-11-29", "gzip")):
            partition = {"site": site, "day": day}
            async with runs.writer(partition, compression=compression) as run:  # type: ignore[arg-type]
                for n in range(100):
                    await run.write(json.dumps({"n": n, "code": f"c{n % 3}"}).encode())
                await run.finalize()
    async with runs.writer({"site": "north", "day": "2026-11-30"}, run_id="unsealed") as run:
        await run.write(b'{"n":1000000,"code":"never"}')


EXPECTED = [(day, site, 100, 4_950) for day in ("2026-11-27", "2026-11-28", "2026-11-29") for site in sorted(SITES)]
RUNS = "SELECT count(DISTINCT run_id) FROM {}"
SUMS = "SELECT count(*), sum(n)::INT FROM {}"
QUERY = "SELECT day::VARCHAR, site, count(*), sum(n)::INT FROM {} GROUP BY ALL ORDER BY ALL"


async def test_a_directory_is_read_with_hive_partitioning(tmp_path: Path) -> None:
    """Downloaded from an embedded store: the folders are columns, compressed files are read as they are."""
    async with FhirStore.open(f"file:{tmp_path / 'store'}") as store:
        runs = store.tenant("default").runs("labs")
        await dataset(runs)
        assert len(await runs.download(tmp_path / "labs")) == 6
    source = f"read_json('{tmp_path}/labs/**/payload*', format='newline_delimited', hive_partitioning=true)"
    assert duckdb.sql(QUERY.format(source)).fetchall() == EXPECTED
    assert duckdb.sql(RUNS.format(source)).fetchall() == [(6,)]


@pytest.fixture
async def bucket(seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FhirStore]:
    """A store on a real S3 server."""
    seaweedfs.use(monkeypatch)
    options = S3Options(endpoint_url=seaweedfs.endpoint_url, allow_http=True)
    async with FhirStore.open(seaweedfs.location(), s3=options) as store:
        yield store


async def test_a_bucket_is_read_in_place_by_presigned_urls(bucket: FhirStore) -> None:
    """No copy, no credentials: DuckDB gets one URL per file of a sealed run."""
    runs = bucket.tenant("default").runs("labs")
    await dataset(runs)
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{_httpfs()}'")
    rows: list[tuple[object, ...]] = []
    async for run in runs.walk():
        file, url = run.file(), await run.url(expires_in=600)
        options = f"format='newline_delimited', compression='{file.encoding or 'uncompressed'}'"
        found = connection.from_query(SUMS.format(f"read_json('{url}', {options})")).fetchall()
        rows += [(run.partition["day"], run.partition["site"], *found[0])]
    assert sorted(rows) == sorted(EXPECTED)
    with pytest.raises(RunNotFound):
        await runs.open({"site": "north", "day": "2026-11-30"}, run_id="unsealed")


async def test_a_bucket_is_read_by_arrow(bucket: FhirStore) -> None:
    """Verified on the way, batch by batch; the partition becomes columns."""
    pyarrow = pytest.importorskip("pyarrow")
    runs = bucket.tenant("default").runs("labs")
    await dataset(runs)
    tables = []
    async for run in runs.walk():
        async with run.read() as file:
            lines = [json.loads(line) | dict(run.partition) async for line in file.lines()]
        tables.append(pyarrow.Table.from_pylist(lines))
    labs = pyarrow.concat_tables(tables)
    assert labs.num_rows == 600
    assert duckdb.sql(QUERY.format("labs")).fetchall() == EXPECTED


async def test_other_stores_have_no_urls(tmp_path: Path) -> None:
    """They say so."""
    async with FhirStore.open(f"file:{tmp_path}") as store, store.tenant("default").runs("labs").writer() as run:
        sealed = await run.finalize()
        with pytest.raises(StoreCannot):
            await sealed.url()


def _httpfs() -> Path:
    """DuckDB's HTTP reader, from its PyPI package."""
    spec = importlib.util.find_spec("duckdb_extension_httpfs")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs duckdb-extension-httpfs")
    folder = Path(spec.submodule_search_locations[0]) / "extensions" / f"v{duckdb.__version__}"
    return folder / "httpfs.duckdb_extension"
