"""The limits of everything that is fetched. Each wait for a provider ends by one of them, and each body."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """Times are seconds, sizes bytes.

    `connect`: to resolve a name and to connect. `answer`: until the head of an answer. `silence`: between two pieces of
    a body. `patience`, `slowest`: after `patience`, a body must have come at `slowest` bytes a second, over the time
    spent waiting for it. `size`: of a body, plain. `ratio`: by which a body of more than `unsuspicious` bytes may be
    larger plain than compressed. `encrypted`: of an encrypted body, which is kept in a temporary file in `folder` until
    its seal is verified. `document`: of what an authorization server says. `redirects`: followed one after the other.

    `retries`: of a request that a provider answers with 429 or 503, each after what it asks for, up to `longest_wait`.
    """

    connect: float = 10.0
    answer: float = 60.0
    silence: float = 60.0
    patience: float = 60.0
    slowest: int = 1024
    size: int = 64 * 1024 * MIB
    ratio: int = 250
    unsuspicious: int = 16 * MIB
    encrypted: int = 1024 * MIB
    folder: Path | None = None
    document: int = MIB
    redirects: int = 5
    retries: int = 2
    longest_wait: float = 30.0
