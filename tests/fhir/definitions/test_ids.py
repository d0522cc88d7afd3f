"""An id is what FHIR says and a URL can address."""

from __future__ import annotations

import pytest

from fhirstore.fhir.definitions.ids import is_id


@pytest.mark.parametrize("text", ["a", "A-1.b", "-", "...", "..a", "0" * 64, "01KAFH3V4Q4Z1T2RJ2X0N9G5AB"])
def test_an_id_is_1_to_64_letters_digits_dashes_and_dots(text: str) -> None:
    """Every id that FHIR allows and a URL can address is one."""
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "0" * 65, ".", "..", "a_b", "a/b", "a b", "ä", "a\n", "\na", "٣", "a%2F", "a\0"])
def test_anything_else_is_no_id(text: str) -> None:
    """What could leave its key, its URL or its pattern is no id, a trailing line feed included."""
    assert not is_id(text)
