"""Merge Patch does what RFC 7396 says, but for objects of which nothing is left."""

from __future__ import annotations

import pytest

from fhirstore.errors import MalformedContent
from fhirstore.fhir import json
from fhirstore.fhir.patch import MergePatch


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        # Appendix A of RFC 7396, those whose result is an object.
        (b'{"a":"b"}', b'{"a":"c"}', b'{"a":"c"}'),
        (b'{"a":"b"}', b'{"b":"c"}', b'{"a":"b","b":"c"}'),
        (b'{"a":"b"}', b'{"a":null}', b"{}"),
        (b'{"a":"b","b":"c"}', b'{"a":null}', b'{"b":"c"}'),
        (b'{"a":["b"]}', b'{"a":"c"}', b'{"a":"c"}'),
        (b'{"a":"c"}', b'{"a":["b"]}', b'{"a":["b"]}'),
        (b'{"a":{"b":"c"}}', b'{"a":{"b":"d","c":null}}', b'{"a":{"b":"d"}}'),
        (b'{"a":[{"b":"c"}]}', b'{"a":[1]}', b'{"a":[1]}'),
        (b'{"e":null}', b'{"a":1}', b'{"e":null,"a":1}'),
        (b'{"a":"b"}', b'{"a":{"b":[null]}}', b'{"a":{"b":[null]}}'),
        (b"{}", b'{"a":{"bb":{"ccc":1,"d":null}}}', b'{"a":{"bb":{"ccc":1}}}'),
        # Number literals, of the resource and of the patch.
        (b'{"a":1.00,"b":{"c":1E2,"d":2}}', b'{"b":{"d":0.10}}', b'{"a":1.00,"b":{"c":1E2,"d":0.10}}'),
        # What FHIR does not have: an object without members. That of the patch stays, for validation to refuse.
        (b"{}", b'{"a":{"bb":{"ccc":null}}}', b"{}"),
        (b'{"a":{"b":{"c":1}},"d":1}', b'{"a":{"b":{"c":null}}}', b'{"d":1}'),
        (b'{"a":1}', b'{"b":{}}', b'{"a":1,"b":{}}'),
    ],
)
def test_what_rfc_7396_says(document: bytes, patch: bytes, result: bytes) -> None:
    """And the resource stays as it was."""
    resource, merge = json.parse(document), MergePatch.parse(patch)
    for _ in range(2):
        assert json.encode(merge.apply(resource)) == result
    assert json.encode(resource) == document


@pytest.mark.parametrize("patch", [b"[]", b"1", b"null", b"", b'{"a":1,"a":2}'])
def test_what_is_no_merge_patch_is_malformed(patch: bytes) -> None:
    """A patch that would replace the resource by something else is none for a resource."""
    with pytest.raises(MalformedContent):
        MergePatch.parse(patch)
