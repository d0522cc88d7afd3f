"""What `full` validation asks beyond structure. A resource that comes here is built rightly."""

from __future__ import annotations

from collections.abc import Iterator

from fhirstore.definitions.facts import Definitions
from fhirstore.errors import Issue
from fhirstore.json import JsonObject


class FullPass:
    """Invariants, targets of references, profiles: each from a file of its own."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def issues(self, resource: JsonObject) -> Iterator[Issue]:
        """Errors and warnings, in the order in which the parts find them."""
        del resource
        yield from ()
