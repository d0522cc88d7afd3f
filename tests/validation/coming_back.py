"""What a resource must be when it comes back: what it was, but for its identity."""

from __future__ import annotations

import json as stdlib

from fhirstore import json


def assert_comes_back(body: bytes) -> None:
    """Byte for byte but for id, meta and white space: compared by the standard library, with numbers as texts."""
    sent = stdlib.loads(body, parse_float=_Number, parse_int=_Number)
    stored = json.with_identity(json.parse(body, max_values=None), id="new", version=7, last_updated=0)
    got = stdlib.loads(stored, parse_float=_Number, parse_int=_Number)
    assert got.pop("id") == "new"
    meta = got.pop("meta")
    assert (meta.pop("versionId"), meta.pop("lastUpdated")) == ("7", "1970-01-01T00:00:00.000Z")
    sent.pop("id", None)
    old = sent.pop("meta", {})
    assert list(meta.items()) == [pair for pair in old.items() if pair[0] not in ("versionId", "lastUpdated")]
    assert _written(got) == _written(sent)


class _Number(str):
    """The text of a number."""


def _written(value: object) -> object:
    """Objects as lists of pairs, so that their order counts; numbers apart from strings."""
    if isinstance(value, dict):
        return [("member", name, _written(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [_written(item) for item in value]
    return ("number", str(value)) if isinstance(value, _Number) else value
