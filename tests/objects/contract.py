"""The contract of the object verbs: each promise of `fhirstore/objects/base.py` as a test, run by every store.

A backend's test class inherits `ObjectStoreContract` and overrides the `store` fixture with one that yields an empty
store nobody else writes to (on a shared bucket: under a fresh prefix), and closes it. Slow stores lower the class
attributes of `StoreUnderTest`.
"""

from __future__ import annotations

from tests.objects.contract_copies import CopiesContract
from tests.objects.contract_facts import FactsContract
from tests.objects.contract_helpers import HelpersContract
from tests.objects.contract_lists import ListsContract
from tests.objects.contract_streams import StreamsContract
from tests.objects.contract_uploads import UploadsContract
from tests.objects.contract_writes import WritesContract


class ObjectStoreContract(
    WritesContract, ListsContract, StreamsContract, FactsContract, CopiesContract, UploadsContract, HelpersContract
):
    """Inherit, override `store`, and every promise is tested."""
