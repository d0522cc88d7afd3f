"""What a run knows so far, in a file: the steps that are done are not done again."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Note(msgspec.Struct, forbid_unknown_fields=True):
    """`stored`: resources, from the first of the population on. `filling`: seconds that took.

    `building`: seconds until the index was built. `index`: its bytes. `starting`: seconds from a copy in the bucket.
    `writes`: creates per second without an index, and with one. `unsupported`: kinds of search that are answered 501.
    """

    store: str
    seed: int
    resources: int
    workers: int
    stored: int = 0
    patients: int = 0
    filling: float = 0.0
    began: str = ""
    ended: str = ""
    types: dict[str, int] = {}
    bucket: str = ""
    building: float | None = None
    index: int | None = None
    timings: dict[str, list[Timing]] = {}
    unsupported: list[str] = []
    writes: tuple[float, float] | None = None
    starting: float | None = None


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One kind of search by so many clients. `rate` per second, `p50` and `p99` in seconds, `cpu` in seconds a search.

    `load`: of the machine when it began, runnable processes on average of a minute.
    """

    clients: int
    rate: float
    p50: float
    p99: float
    cpu: float
    found: float
    load: float


class Notes:
    """The note of a folder; `keep` writes it. Raises ValueError where the folder is of another run."""

    def __init__(self, folder: Path, wanted: Note) -> None:
        self._path = folder / "bench.json"
        self.note = wanted
        if self._path.exists():
            try:
                known = msgspec.json.decode(self._path.read_bytes(), type=Note)
            except msgspec.DecodeError as error:
                raise ValueError(f"{self._path} is not the note of a run: {error}") from error
            for name in ("store", "seed", "resources"):
                if getattr(known, name) != getattr(wanted, name):
                    raise ValueError(f"{self._path} is of a run with other {name}: {getattr(known, name)}")
            known.workers = wanted.workers
            self.note = known

    def keep(self) -> None:
        """Writes the note; the file is whole at any time."""
        beside = self._path.with_suffix(".new")
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(self.note), indent=1))
        beside.replace(self._path)
