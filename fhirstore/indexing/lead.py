"""The one process of a machine that looks after an index file in the background: it builds, polls and prunes.

It holds an flock(2) on `{file}.lock`, which ends with the process, however that ends. The bucket's leases would not do:
this is about a file of one machine. All processes may apply and read (`fhirstore.index.local.file`).
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


class Lead:
    """Of this process on the file at `path`, whose folder there must be. Its methods do not wait."""

    def __init__(self, path: Path) -> None:
        self._path = Path(f"{path}.lock")
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        """Whether this process leads."""
        return self._file is not None

    def take(self) -> bool:
        """Returns whether this process leads, now at the latest; False: another one does. Raises OSError."""
        if self._file is not None:
            return True
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        except BaseException:
            file.close()
            raise
        self._file = file
        return True

    def release(self) -> None:
        """Lets another process lead."""
        if self._file is not None:
            self._file.close()
            self._file = None
