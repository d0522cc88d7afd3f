"""Answers scrapes for the process itself, or for the worker processes that it starts."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from server.observing.sharing import DIRECTORY, Shared, publish
from server.observing.snapshot import Snapshot, merged

Publish = Callable[[Snapshot], None]


@dataclass(frozen=True, slots=True)
class Answering:
    """Scrapes are answered at `url`. `publish`: takes the snapshots of this process; workers find their own."""

    url: str
    publish: Publish


class _Latest:
    """The last snapshot of this process."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None

    def set(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def read(self) -> Snapshot:
        return merged([] if self._snapshot is None else [self._snapshot])


@contextmanager
def answering(address: tuple[str, int], *, workers: int = 1) -> Iterator[Answering]:
    """Answers scrapes in the block: for this process, or for `workers` that it starts. Raises OSError."""
    if workers == 1:
        latest = _Latest()
        with _listening(address, latest.read) as url:
            yield Answering(url, latest.set)
        return
    with tempfile.TemporaryDirectory(prefix="fhirstore-metrics-") as name:
        directory = Path(name)
        with _listening(address, Shared(directory).read) as url:
            os.environ[DIRECTORY] = name
            try:
                yield Answering(url, partial(publish, directory))
            finally:
                del os.environ[DIRECTORY]


def publish_of_worker(env: Mapping[str, str]) -> Publish | None:
    """Returns where a worker process publishes; None where its parent answers no scrapes."""
    name = env.get(DIRECTORY)
    return None if name is None else partial(publish, Path(name))


@contextmanager
def _listening(address: tuple[str, int], read: Callable[[], Snapshot]) -> Iterator[str]:
    from server.observing.listener import MetricsListener  # noqa: PLC0415 - a process that answers none starts sooner

    listener = MetricsListener(address, read)
    try:
        yield listener.url
    finally:
        listener.close()
