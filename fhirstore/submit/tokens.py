"""Op tokens of a submission: a version says which manifest, file and line wrote it.

A token is `{submission}{manifest}{file}{line}{entry}{ulid}`: a hash of 80 bits, four numbers of fixed width in base 32,
and a fresh ULID, so that each attempt has a token of its own, as the commit protocol needs it, and all attempts at one
line begin alike. Tokens of one manifest sort as its lines do. A version that an undoing wrote begins with another hash.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from fhirstore.clock import Ids

MOST_FILES = 32**4 - 1
"""Files of one manifest."""

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUV"  # base32hex, which sorts as the numbers do
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_SUBMISSION = 16  # digits: 80 bits
_MANIFEST = _SUBMISSION + 2
_LINE = _MANIFEST + 4 + 8 + 2


def _hashed(*names: str) -> str:
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return base64.b32encode(hashlib.sha256(text).digest()[:10]).decode("ascii")


def _number(number: int, pairs: int) -> str:
    digits = ""
    for _ in range(pairs):
        digits = _PAIRS[number & 1023] + digits
        number >>= 10
    if number:
        raise ValueError("the number is too great for an op token")
    return digits


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one manifest of a submission: how they begin, and how those of an undoing do."""

    manifest: str
    undoing: str

    @classmethod
    def of(cls, submitter: str, submission: str, job: str, manifest: int) -> Tokens:
        """`submitter`: `system|value`. `manifest`: its number in the submission. `job`: so that ids may recur."""
        names = (submitter, submission, job)
        return cls(_hashed("submission", *names) + _number(manifest, 1), _hashed("undoing", *names))

    def line(self, file: int, line: int, entry: int = 0) -> str:
        """Returns the beginning of the op token of every attempt at one line, or at one entry of a Bundle in it."""
        return self.manifest + _number(file, 2) + _number(line, 4) + _number(entry, 1)


def is_later(op: str, token: str) -> bool:
    """Whether a later line of the same manifest than that of `token` wrote the version with this op token."""
    return op.startswith(token[:_MANIFEST]) and op[:_LINE] > token


@dataclass(frozen=True, slots=True)
class Family:
    """The versions that are to be undone: those of some manifests of one submission."""

    manifests: frozenset[str]
    undoing: str

    def wrote(self, op: str) -> bool:
        """Whether one of these manifests wrote the version with this op token."""
        return op[:_MANIFEST] in self.manifests and len(op) > _LINE

    def undid(self, op: str) -> bool:
        """Whether an undoing in the same submission wrote it."""
        return op.startswith(self.undoing)


@dataclass(frozen=True, slots=True)
class Marked:
    """Ids that all begin with a mark. It serves a protocol whose versions are to be recognised."""

    ids: Ids
    mark: str

    def new(self) -> str:
        return self.mark + self.ids.new()

    def jitter(self, low: float, high: float) -> float:
        return self.ids.jitter(low, high)
