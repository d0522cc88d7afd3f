"""How a store's search indexes are kept: where their files lie, and when others' writes are seen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fhirstore.index.local.catalogue import Texts


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """`folder`: of the index files, one for each tenant; None: a temporary one.

    `consistency`: "strong": a search finds whatever was acknowledged before it by any process, 1 LIST shared by those
    who wait at the moment. "local": at no such cost it finds what this process has acknowledged, and the writes of
    others after `poll` seconds. `bases`: the URLs of a tenant, with `{tenant}` for its name: an absolute reference to
    what is below is one to a resource of the tenant. Other bases need another index. `follow`: keep an index up to date
    from the first search or write on, in the background; `poll`: seconds between looks at the log. Without it, a strong
    index is brought up to date by searches alone. `copies`: store copies of the index in the bucket, from which other
    machines start, while `follow`ing. `aside`: apply large batches in a process of their own, so that the writes of
    this one do not wait for them. `text`: what full text is indexed: "narrative" answers searches by `_text`,
    "all" those by `_content`, too; another one needs another index.
    """

    folder: Path | None = None
    consistency: Literal["strong", "local"] = "strong"
    poll: float = 2.0
    bases: tuple[str, ...] = ()
    follow: bool = False
    copies: bool = False
    aside: bool = False
    text: Texts = "narrative"

    def bases_of(self, tenant: str) -> tuple[str, ...]:
        """Returns the bases of a tenant, each with a slash at the end."""
        return tuple(f"{base.replace('{tenant}', tenant).rstrip('/')}/" for base in self.bases)


def index_options(
    location: str, options: IndexOptions | None, *, buckets: Mapping[str, str] | None = None
) -> IndexOptions:
    """Returns the options with the folder for a store at this location, where they name none.

    `buckets`: tenant -> bucket, where each has its own.
    """
    options = options or IndexOptions()
    options = replace(options, copies=options.copies or location.startswith("s3:"))
    if options.folder is not None:
        return options
    return replace(options, folder=_folder(location, os.environ, sorted((buckets or {}).items())))


def _folder(location: str, environment: Mapping[str, str], buckets: Sequence[tuple[str, str]]) -> Path | None:
    scheme, _, rest = location.partition(":")
    if scheme == "file":
        return Path(rest) / "index"
    if scheme == "memory":
        return None
    cache = environment.get("XDG_CACHE_HOME", "")
    root = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return root / "fhirstore" / "index" / hashlib.sha256(repr((location, buckets)).encode()).hexdigest()[:16]
