"""Patients with identifiers, for the tests of whoever looks for them."""

from __future__ import annotations

from fhirstore.commit.single import Decide, Draft


def carrying(*values: str, size: int = 0) -> Decide:
    """A PUT of a resource with these identifiers, written `value` or `system|value`, and `size` bytes more."""
    parts = [value.rpartition("|") for value in values]
    carried = ",".join(
        f'{{"system":"{system}","value":"{value}"}}' if bar else f'{{"value":"{value}"}}'
        for system, bar, value in parts
    )
    body = f'{{"resourceType":"Patient","identifier":[{carried}],"x":"{"y" * size}"}}'.encode()
    return lambda _: Draft("PUT", lambda _version, _t: body)
