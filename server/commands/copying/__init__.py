"""`fhirstore copy`: all data of a store, or of one tenant, into another one. The work is in the library."""

from server.commands.copying.command import run_copy
from server.commands.copying.order import CannotCopy, Order

__all__ = ["CannotCopy", "Order", "run_copy"]
