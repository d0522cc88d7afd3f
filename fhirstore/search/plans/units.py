"""In which units, as resources have them, a quantity may be that is searched for with its unit.

An index has few units, and most quantities are searched for with one of few: what is alike is looked up once a moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from fhirstore.index.local.reader import Reader, all_units
from fhirstore.search.matching.numbers import Between, Sought, UnitSought

_LONGEST_KEPT = 256  # characters of a unit


def units_like(reader: Reader, unit: UnitSought | None) -> Mapping[int, Between | None]:
    """Returns the numbers of the units in which there are quantities of a unit (None: of any). With each, that unit and
    this one where they convert into each other; None where they are the same.
    """
    kept = unit is None or len(unit.system) + len(unit.code) <= _LONGEST_KEPT
    return reader.once(_alike, unit) if kept else _alike(reader.connection, unit)


def in_unit(sought: Sought, between: Between | None) -> Sought:
    """Returns what is sought in such a unit."""
    return sought if between is None else sought.converted(between[1], between[0])


def _alike(connection: sqlite3.Connection, unit: UnitSought | None) -> dict[int, Between | None]:
    found: dict[int, Between | None] = {}
    for number, written in all_units(connection).items():
        between = None if unit is None else unit.converting(written)
        if between is not None or unit is None or unit.matches(written):
            found[number] = between
    return found
