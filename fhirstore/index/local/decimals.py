"""Decimals as bytes that sort as the numbers do, with every digit: no rounding to binary fractions.

A key is one of three places at a number: `JUST_BELOW` it, `AT` it, `JUST_ABOVE` it. So an interval without its end,
such as `< 5`, ends just below 5, and bytes alone are compared.

A positive number is `C0`, its exponent (4 bytes), its digits without zeros at the end, the place. Of a negative one the
exponent and the digits are inverted, and `FF` follows, so that the longer of two equal beginnings comes first.
"""

from __future__ import annotations

from decimal import Decimal

JUST_BELOW, AT, JUST_ABOVE = b"\x00", b"\x01", b"\x02"

_INVERTED = bytes(255 - byte for byte in range(256))
_BIAS = 2**31


def sort_key(number: Decimal, place: bytes = AT) -> bytes:
    """Returns the key of a number or of an infinity. Exponents beyond two thousand millions count as that."""
    if number.is_infinite():
        return (b"\x00" if number < 0 else b"\xff") + place
    digits = "".join(map(str, number.as_tuple().digits)).strip("0")
    if not digits:
        return b"\x80" + place
    exponent = max(1 - _BIAS, min(_BIAS - 1, number.adjusted()))
    body = (exponent + _BIAS).to_bytes(4) + digits.encode()
    if number < 0:
        return b"\x40" + body.translate(_INVERTED) + b"\xff" + place
    return b"\xc0" + body + place


def number_and_place(key: bytes) -> tuple[Decimal, bytes]:
    """Returns the number of a key, and its place at it."""
    kind, place = key[:1], key[-1:]
    if kind in (b"\x00", b"\xff"):
        return Decimal("-Infinity" if kind == b"\x00" else "Infinity"), place
    if kind == b"\x80":
        return Decimal(0), place
    body = key[1:-1] if kind == b"\xc0" else key[1:-2].translate(_INVERTED)
    digits = body[4:].decode()
    exponent = int.from_bytes(body[:4]) - _BIAS - len(digits) + 1
    return Decimal((int(kind == b"\x40"), tuple(map(int, digits)), exponent)), place
