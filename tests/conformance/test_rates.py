"""The benchmark measures what it says; its rates are never asserted, machines differ."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice, repeat

import pytest
import typer
from typer.testing import CliRunner

from conformance.rates.command import rates
from conformance.rates.load import LoadFailed, Target, message_end, offer
from conformance.rates.patients import patients, with_id
from conformance.rates.rows import EMPTY_GET, EMPTY_POST, Ratio, ratios
from conformance.rates.sampling import Sample
from conformance.rates.workload import INTERACTIONS, Stored

app = typer.Typer()
app.command()(rates)


@pytest.mark.slow
def test_a_run_reports_each_interaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short run on two stores gives every row, every ratio and only expected answers."""
    monkeypatch.setenv("FHIRSTORE_TENANT_SOURCE", "path")  # whatever the shell says, the run has its own settings
    result = CliRunner().invoke(app, ["--stores", "memory,embedded", "--seconds", "0.3", "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    subjects = json.loads(result.stdout)["subjects"]
    assert [subject["name"] for subject in subjects] == ["memory", "embedded"]
    for subject in subjects:
        rows = {row["name"]: row for row in subject["rows"]}
        assert set(rows) == {interaction.name for interaction in INTERACTIONS} | {EMPTY_GET, EMPTY_POST}
        assert all(row["rate"] > 0 and row["cpu_us"] is not None and not row["unexpected"] for row in rows.values())
        assert {ratio["name"] for ratio in subject["ratios"]} == {
            "read / empty GET",
            "create / empty GET",
            "create / empty POST, 2 KB",
        }


def test_an_unknown_store_is_refused() -> None:
    """A misspelt store ends the command before anything starts."""
    assert CliRunner().invoke(app, ["--stores", "floppy"]).exit_code == 2


def test_a_server_that_is_not_there_is_one_line() -> None:
    """Aiming at a closed port fails with a sentence, not a traceback."""
    result = CliRunner().invoke(app, ["--url", "http://127.0.0.1:1/fhir", "--seconds", "0.1"])
    assert result.exit_code == 1
    assert "cannot connect to 127.0.0.1:1" in result.stderr


def test_patients_are_two_kilobytes_and_differ() -> None:
    """Every Patient has its own serial number and the same length, and stays JSON when it gets an id."""
    first, second = islice(patients(), 2)
    assert first != second
    assert len(first) == len(second)
    assert abs(len(first) - 2048) < 100
    assert json.loads(with_id(first, "a-1")) == {"id": "a-1", **json.loads(first)}


def test_a_location_names_id_and_version() -> None:
    """The Location of a create is all that reads need, wherever the base is."""
    assert Stored.at("http://host/a/fhir/Patient/x-1.y/_history/7") == Stored("x-1.y", "7")
    assert Stored.at("Patient/5") == Stored("5", "1")


def test_a_ratio_is_the_median_over_rounds() -> None:
    """One disturbed round does not move a ratio."""
    samples = {
        "read": [Sample(50, cpu_us=40), Sample(5, cpu_us=40), Sample(60, cpu_us=50)],
        "create": [Sample(30), Sample(30), Sample(0)],
        EMPTY_GET: [Sample(100, cpu_us=20), Sample(100, cpu_us=20), Sample(100, cpu_us=20)],
    }
    assert ratios("embedded", samples) == (
        Ratio("read / empty GET", 0.5, 0.5, 0.5),
        Ratio("create / empty GET", 0.3, None, 0.25),
    )


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", True),
        (b"HTTP/1.1 204 No Content\r\nDate: x\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\na;x=y\r\n0123456789\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", False),
    ],
)
def test_the_end_of_an_answer_is_found(answer: bytes, whole: bool) -> None:
    """Length, no body and chunks are told apart, and an unfinished answer is not taken for a whole one."""
    end = message_end(answer, answer.index(b"\r\n\r\n") + 4)
    assert (end == len(answer)) if whole else (end < 0 or end > len(answer))


async def test_a_closed_connection_is_opened_again() -> None:
    """A server that closes after every answer gets all the requests, and none counts as lost."""
    answer = b"HTTP/1.1 201 Created\r\nLocation: Patient/1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
    async with scripted(lambda served: answer, close_after=1) as target:
        tally = await offer(
            target, repeat(target.request("GET", "/"), 7), connections=2, seconds=60, keep_locations=True
        )
    assert tally.statuses == {201: 7}
    assert tally.locations == ("Patient/1",) * 7


async def test_a_broken_answer_counts_as_lost() -> None:
    """A connection that ends in the middle of an answer shows up under status 0."""
    whole, broken = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no"
    async with scripted(lambda served: broken if served == 3 else whole, close_after=3) as target:
        tally = await offer(target, repeat(target.request("GET", "/"), 3), connections=1, seconds=60)
    assert tally.statuses == {200: 2, 0: 1}
    assert tally.others((200,)) == {0: 1}


async def test_nobody_listening_is_a_failure() -> None:
    """Load on a closed port ends at once with the reason."""
    with pytest.raises(LoadFailed, match="cannot connect"):
        await offer(Target("127.0.0.1", 1), repeat(b""), connections=3, seconds=60)


@asynccontextmanager
async def scripted(answer: Callable[[int], bytes], *, close_after: int) -> AsyncIterator[Target]:
    """A server that reads requests without bodies and closes each connection after so many answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for served in range(1, close_after + 1):
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            writer.write(answer(served))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Target("127.0.0.1", server.sockets[0].getsockname()[1])
