"""A document fed to expat a slice at a time: between two calls other threads go on.

What expat reads in one call, however long, is a start tag. So a tag must not have attributes without end, which it is
asked about when it is not complete after a slice, and before expat has all of it.
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
    """Parse all of the document. `most`: bytes of one tag.

    Raises ExpatError, ContentTooLarge (too many attributes, too long a tag), what handlers raise.
    """
    fed, step = 0, _SLICE
    while fed + step < len(document):
        parser.Parse(document[fed : fed + step], False)
        fed += step
        begun = parser.CurrentByteIndex  # of what is not complete, if anything is not
        if 0 <= begun < fed - _SLICE // 2:
            if _CROWDED_TAG.match(document, begun):
                raise ContentTooLarge(f"An element in the XML has more than {MOST_ATTRIBUTES} attributes")
            if most is not None and fed - begun > most:
                raise ContentTooLarge(f"A tag in the XML has more than {most:,} bytes, and no base64 in its value")
            step = max(fed - begun, _SLICE)  # expat begins such a thing anew each time
            step = step if most is None else min(step, begun + most + 1 - fed)
        else:
            step = _SLICE
    parser.Parse(document[fed:], True)
