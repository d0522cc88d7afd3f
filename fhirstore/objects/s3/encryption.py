"""Encryption by S3 of what is stored: which headers a request carries that makes an object.

SSE-S3 (`AES256`): S3 has the keys. SSE-KMS (`aws:kms`): the key is one of AWS KMS, so that who may read is also decided
there, and a tenant whose key is removed cannot be read any more. The ETags of SSE-KMS are no MD5 of the body, and two
equal bodies have different ones. Reads, parts of uploads and deletes carry nothing.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ALGORITHMS = ("AES256", "aws:kms", "aws:kms:dsse")

_HEADER = "x-amz-server-side-encryption"
_KEY = re.compile(r"[A-Za-z0-9:/_.-]{1,2048}")


@dataclass(frozen=True, slots=True)
class Encryption:
    """What S3 encrypts new objects with. Objects that are there already stay as they are.

    `algorithm`: one of `ALGORITHMS`. `kms_key`: id, ARN or alias of the key; None: the account's own key for S3.
    `folder_keys`: another key for all below that folder at the store's root, where each tenant has one. `bucket_key`:
    S3 asks KMS once for many objects, which costs less, and KMS logs less.

    Raises ValueError where no request could be made of it.
    """

    algorithm: str = "AES256"
    kms_key: str | None = None
    bucket_key: bool = False
    folder_keys: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"the algorithm must be one of {', '.join(ALGORITHMS)}")
        keys = [*self.folder_keys.values(), *([] if self.kms_key is None else [self.kms_key])]
        if keys and self.algorithm == "AES256":
            raise ValueError("AES256 takes no KMS key; use aws:kms")
        if self.bucket_key and self.algorithm != "aws:kms":
            raise ValueError("a bucket key goes with aws:kms alone")
        if not all(_KEY.fullmatch(key) for key in keys):
            raise ValueError("a KMS key is named by its id, ARN or alias")

    def key_of(self, key: str) -> str | None:
        """Returns the KMS key for an object of the store."""
        return self.folder_keys.get(key.partition("/")[0], self.kms_key) if self.folder_keys else self.kms_key

    def within(self, folder: str) -> Encryption:
        """Returns the encryption of a store that has only what lies below this folder here."""
        return Encryption(self.algorithm, self.folder_keys.get(folder, self.kms_key), self.bucket_key)

    def headers(self, key: str) -> dict[str, str]:
        """Returns the headers of a request that makes this object. All must be signed."""
        headers = {_HEADER: self.algorithm}
        kms_key = self.key_of(key)
        if kms_key is not None:
            headers[f"{_HEADER}-aws-kms-key-id"] = kms_key
        if self.bucket_key:
            headers[f"{_HEADER}-bucket-key-enabled"] = "true"
        return headers


def encrypting(encryption: Encryption | None, key: str) -> dict[str, str]:
    """Returns the headers, none without an encryption: then the bucket's own default counts."""
    return {} if encryption is None else encryption.headers(key)
