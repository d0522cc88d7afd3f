"""ETags of the stores in this process: a hash of the body, as in S3, so that a body that returns has its old ETag
again.

The hash is BLAKE2b with 16 bytes: fast, and nobody can make two bodies with the same ETag.
"""

from __future__ import annotations

import hashlib

from fhirstore.format.digest import feed


def etag_of(body: bytes) -> str:
    """Returns the ETag of a body."""
    if not body:
        return OF_NOTHING
    hash_ = etag_hash()
    feed(hash_, body)
    return hash_.hexdigest()


def etag_hash() -> hashlib.blake2b:
    """Returns a hash whose hex digest is the ETag, for a body that arrives in pieces."""
    return hashlib.blake2b(digest_size=16, usedforsecurity=False)


OF_NOTHING = etag_hash().hexdigest()
"""The ETag of an empty body, which every history event has."""
