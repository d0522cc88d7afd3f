"""Feeds a document to expat in slices, so that other threads run between two calls.

expat reads a start tag in one call, however long it is. So the number of attributes is bounded, and is checked before
expat has the whole tag.
"""

from __future__ import annotations

import re
from xml.parsers.expat import XMLParserType

from fhirstore.errors import ContentTooLarge

MOST_ATTRIBUTES = 256
MOST_TAG = 6 * 1024 * 1024  # bytes of one tag; strings have a sixth of that in characters
_SLICE = 64 * 1024  # bytes
_ATTRIBUTE = rb"\s++[^\s<>\"'=]++\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+')"
_CROWDED_TAG = re.compile(rb"<[^\s<>\"'=/]++(?:%s){%d}" % (_ATTRIBUTE, MOST_ATTRIBUTES + 1))


def parse(parser: XMLParserType, document: bytes, *, most: int | None = None) -> None:
    """Parses all of the document. `most`: bytes of one tag.

    Raises ExpatError, ContentTooLarge (too many attributes, too long a tag), and what the handlers raise.
    """
    fed, step = 0, _SLICE
    while fed + step < len(document):
        parser.Parse(document[fed : fed + step], False)
        fed += step
        begun = parser.CurrentByteIndex  # the start of the incomplete token, if there is one
        if 0 <= begun < fed - _SLICE // 2:
            if _CROWDED_TAG.match(document, begun):
                raise ContentTooLarge(f"An element in the XML has more than {MOST_ATTRIBUTES} attributes")
            if most is not None and fed - begun > most:
                raise ContentTooLarge(f"A tag in the XML has more than {most:,} bytes, and no base64 in its value")
            step = max(fed - begun, _SLICE)  # expat reads an incomplete token from its start each time
            step = step if most is None else min(step, begun + most + 1 - fed)
        else:
            step = _SLICE
    parser.Parse(document[fed:], True)
