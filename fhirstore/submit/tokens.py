"""Op tokens of a submission: a version says which manifest, file and line wrote it.

A token is `{manifest}{line}{ulid}`: two hashes of 80 bits each, in base32, and a fresh ULID, so that each attempt has a
token of its own, as the commit protocol needs it, and all attempts at one line begin alike. A version that an undoing
wrote has the hash of the submission in the place of the manifest's.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

from fhirstore.clock import Ids

_LENGTH = 16  # digits of base32: 80 bits


def _hashed(*names: str) -> str:
    text = "\0".join(names).encode("utf-8", "surrogatepass")
    return base64.b32encode(hashlib.sha256(text).digest()[:10]).decode("ascii")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one manifest of a submission."""

    manifest: str
    undoing: str

    @classmethod
    def of(cls, submitter: str, submission: str, job: str, manifest: str) -> Tokens:
        """`submitter`: `system|value`. `manifest`: its id in the submission. `job`: so that ids may be used again."""
        names = (submitter, submission, job)
        return cls(_hashed("manifest", *names, manifest), _hashed("undo", *names))

    def line(self, file: int, line: int, entry: int = 0) -> str:
        """Returns the beginning of the op token of every attempt at one line, or at one entry of a Bundle in it."""
        return self.manifest + _hashed(str(file), str(line), str(entry))


@dataclass(frozen=True, slots=True)
class Family:
    """The versions that are to be undone: those of some manifests of one submission."""

    manifests: frozenset[str]
    undoing: str

    def wrote(self, op: str) -> bool:
        """Whether one of these manifests wrote the version with this op token."""
        return op[:_LENGTH] in self.manifests and len(op) > _LENGTH

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
