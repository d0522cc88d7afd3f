"""Settings: searches, and the index that they go by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fhirstore import IndexOptions
from server.settings import values
from server.settings.setting import setting


@dataclass(frozen=True)
class Searching:
    """Searches, and the index that they go by."""

    index: str | None = setting(
        "FHIRSTORE_INDEX",
        values.text,
        None,
        "The folder of the search indexes, one file for each tenant; all server processes of a machine share it. It "
        "holds copies of what is in the store, is built again where it is missing, and needs about 1 kB a resource.",
        unset="`index` in the directory of a `file:` store; with a bucket `fhirstore/index` in `$XDG_CACHE_HOME`, or "
        "`~/.cache`",
    )
    search_consistency: str = setting(
        "FHIRSTORE_SEARCH_CONSISTENCY",
        values.choice("strong", "local"),
        "strong",
        "`strong`: a search finds all that was acknowledged before it, by any server; it costs one LIST, which "
        "searches at the same moment share. `local`: what this process has acknowledged, and what others have after "
        "`FHIRSTORE_INDEX_POLL` seconds.",
    )
    index_poll: float = setting(
        "FHIRSTORE_INDEX_POLL",
        values.seconds,
        2.0,
        "Seconds between the looks for writes that the index lacks, by one process of a machine. With `strong`, looks "
        "that find nothing become rarer.",
    )
    index_text: Literal["off", "narrative", "all"] = setting(
        "FHIRSTORE_INDEX_TEXT",
        values.choice("off", "narrative", "all"),
        "narrative",
        "The full text that searches can ask for. `narrative`: the narratives, by `_text`; `all`: also all strings of "
        "resources, by `_content`, which makes the index several times as large; `off`: none. Another value makes the "
        "index be built again; all servers of a store should have the same.",
    )

    @property
    def index_options(self) -> IndexOptions:
        """Where the indexes lie, and how they are kept up to date."""
        return IndexOptions(
            folder=None if self.index is None else Path(self.index),
            consistency="local" if self.search_consistency == "local" else "strong",
            poll=self.index_poll,
            text=self.index_text,
        )
