"""Which units of measure convert into each other, and how: the common ones of UCUM, with exact factors.

A unit is known by its UCUM code, annotations in braces left out: `{cells}/uL` is `/uL`. Units of one dimension convert:
the value in the base unit is value * factor + offset. Mass, amount of substance and international units do not convert
into each other, since that differs from substance to substance. A code that is not listed converts to nothing.

Factors are those of the table of units in The Unified Code for Units of Measure, version 2.2: https://ucum.org/ucum
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction

UCUM = "http://unitsofmeasure.org"

_ANNOTATION = re.compile(r"\{[^{}]*\}")
_PRECISE = Context(prec=200)
_FAR = 1_000  # what is further than this many digits from 1 is as good as infinite, or zero
_PREFIXES = {
    **{"k": "1e3", "h": "1e2", "": "1", "d": "1e-1", "c": "1e-2", "m": "1e-3"},
    **{"u": "1e-6", "n": "1e-9", "p": "1e-12", "f": "1e-15"},
}
_LITRE = ("L", "l")


@dataclass(frozen=True, slots=True)
class Unit:
    """`dimension`: the base unit. A value in it is value * `factor` + `offset`."""

    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


def unit_of(code: str) -> Unit | None:
    """Returns the unit with this UCUM code; None where it is not among the known ones."""
    return _UNITS.get(_ANNOTATION.sub("", code) if "{" in code else code)


def converted(number: Decimal, unit: Unit, into: Unit) -> Decimal:
    """Returns a number of one unit in another one of the same dimension: exact, or to 200 digits where it has more."""
    if unit == into or not number.is_finite() or number.adjusted() > _FAR:
        return number
    if number.adjusted() < -_FAR:
        number = Decimal(0)
    value = (Fraction(number) * unit.factor + unit.offset - into.offset) / into.factor
    return _PRECISE.divide(Decimal(value.numerator), Decimal(value.denominator))


def _metric(symbol: str, dimension: str, prefixes: str, scale: str = "1") -> Iterator[tuple[str, Unit]]:
    """Yields a unit with these prefixes; `_` is none. `scale`: the size of the unit without a prefix."""
    for prefix in prefixes.replace("_", " "):
        found = prefix.strip()
        yield found + symbol, Unit(dimension, Fraction(_PREFIXES[found]) * Fraction(scale))


def _ratios(above: Mapping[str, Unit], below: Mapping[str, Unit], dimension: str) -> Iterator[tuple[str, Unit]]:
    for one, upper in above.items():
        for other, lower in below.items():
            yield f"{one}/{other}", Unit(dimension, upper.factor / lower.factor)


def _table() -> dict[str, Unit]:
    mass = dict(_metric("g", "g", "k_dcmunpf"))
    volume = {code: unit for litre in _LITRE for code, unit in _metric(litre, "L", "_dcmunpf")}
    substance = dict(_metric("mol", "mol", "_munpf"))
    equivalents = dict(_metric("eq", "eq", "_munp"))
    enzyme = dict(_metric("U", "U", "k_mu"))
    international = dict(_metric("[iU]", "[iU]", "k_mu")) | dict(_metric("[IU]", "[iU]", "k_mu"))
    length = dict(_metric("m", "m", "kh_dcmunp"))
    minutes = {"s": "1", "min": "60", "h": "3600", "d": "86400", "wk": "604800"}
    time = {code: Unit("s", Fraction(seconds)) for code, seconds in minutes.items()}
    counts = {"": Unit("1", Fraction(1))} | {f"10*{n}": Unit("1", Fraction(10) ** n) for n in (3, 6, 9, 12)}
    counts |= {f"10^{n}": counts[f"10*{n}"] for n in (3, 6, 9, 12)}
    units = {**mass, **volume, **substance, **equivalents, **enzyme, **international, **length, **time}
    units |= dict(_metric("s", "s", "munp")) | {
        "mo": Unit("s", Fraction("2629800")),  # a twelfth of a Julian year
        "a": Unit("s", Fraction("31557600")),
    }
    units |= {
        "[lb_av]": Unit("g", Fraction("453.59237")),
        "[oz_av]": Unit("g", Fraction("28.349523125")),
        "t": Unit("g", Fraction(10) ** 6),
        "[in_i]": Unit("m", Fraction("0.0254")),
        "[ft_i]": Unit("m", Fraction("0.3048")),
        "Cel": Unit("K", Fraction(1), Fraction("273.15")),
        "K": Unit("K", Fraction(1)),
        "[degF]": Unit("K", Fraction(5, 9), Fraction("459.67") * Fraction(5, 9)),
        "1": Unit("1", Fraction(1)),
        "%": Unit("1", Fraction(1, 100)),
        "[ppth]": Unit("1", Fraction(1, 1000)),
        "[ppm]": Unit("1", Fraction(1, 10**6)),
        "Hz": Unit("1/s", Fraction(1)),
    }
    units |= dict(_metric("Pa", "Pa", "kh_m")) | dict(_metric("bar", "Pa", "_m", "1e5"))
    units |= dict(_metric("m[Hg]", "Pa", "_cm", "133322")) | dict(_metric("m[H2O]", "Pa", "_cm", "9806.65"))
    units |= dict(_metric("J", "J", "k_m")) | dict(_metric("cal", "J", "k_", "4.184"))
    for above, name in ((mass, "g"), (substance, "mol"), (equivalents, "eq"), (enzyme, "U"), (international, "[iU]")):
        units |= dict(_ratios(above, volume, f"{name}/L"))
    units |= dict(_ratios(counts, volume, "1/L"))
    units |= dict(_ratios({"": counts[""]}, time, "1/s"))
    units |= dict(_ratios(volume, time, "L/s")) | dict(_ratios(mass, time, "g/s")) | dict(_ratios(length, time, "m/s"))
    units |= dict(_ratios(mass, mass, "1")) | dict(_ratios(substance, substance, "1"))
    units |= dict(_ratios(mass, substance, "g/mol")) | dict(_ratios(substance, mass, "mol/g"))
    units |= {f"{code}/m2": Unit("g/m2", unit.factor) for code, unit in mass.items()}
    return units


_UNITS: Mapping[str, Unit] = _table()
