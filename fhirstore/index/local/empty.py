"""Reading the index of a tenant that has nothing: in memory, so that whoever asks for made-up tenants fills no disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager

from fhirstore.index.local.catalogue import Catalogue
from fhirstore.index.local.connections import TakesLonger
from fhirstore.index.local.hashing import KEY_BYTES, hashing
from fhirstore.index.local.moment import Moment
from fhirstore.index.local.noted import READY, note
from fhirstore.index.local.reader import Reader
from fhirstore.index.local.schema import create


class EmptyIndex:
    """Is read as an `IndexFile` is: 3 ms to make its tables, which are gone afterwards."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Gives a reader. Blocks."""
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            connection.execute("BEGIN")
            create(connection)
            note(connection, "state", READY)
            note(connection, "uuid", os.urandom(8).hex())
            connection.execute("COMMIT")
            connection.execute("BEGIN")
            yield Reader(Moment(connection, 0), self._catalogue, hashing(os.urandom(KEY_BYTES)))

    def read_at_once(self, within: float, waiting: float) -> AbstractContextManager[Reader]:
        """Raises TakesLonger."""
        raise TakesLonger
