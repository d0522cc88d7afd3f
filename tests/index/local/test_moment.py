"""What a connection has read of an index file is read again when the file has changed, by whoever."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fhirstore.index.local.moment import Connection


def opened(path: Path) -> Connection:
    """A connection to a file that has one number in it."""
    connection = sqlite3.connect(path, isolation_level=None, factory=Connection)
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


def number(connection: sqlite3.Connection, plus: int, *, times: int = 1) -> int:
    """Asks a file."""
    asked.append(plus)
    return int(connection.execute("SELECT n FROM numbers").fetchone()[0] + plus) * times


asked: list[int] = []


def test_a_file_is_asked_once_until_it_changes(tmp_path: Path) -> None:
    """Each question by itself; a change that is made while a transaction reads is of the next one."""
    asked.clear()
    with closing(opened(tmp_path / "file")) as writer, closing(opened(tmp_path / "file")) as reader:
        writer.execute("CREATE TABLE numbers (n)")
        writer.execute("INSERT INTO numbers VALUES (7)")
        for _ in range(2):
            reader.execute("BEGIN")
            moment = reader.moment()
            assert (moment.once(number, 1), moment.once(number, 2), moment.once(number, 1, times=2)) == (8, 9, 16)
            reader.execute("ROLLBACK")
        assert asked == [1, 2, 1]
        reader.execute("BEGIN")
        moment = reader.moment()
        writer.execute("UPDATE numbers SET n = 10")
        assert (moment.once(number, 1), moment.once(number, 3)) == (8, 10)
        reader.execute("ROLLBACK")
        reader.execute("BEGIN")
        assert reader.moment().once(number, 1) == 11
        reader.execute("ROLLBACK")
