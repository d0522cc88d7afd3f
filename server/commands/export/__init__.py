"""`fhirstore export`: a client of any FHIR server's bulk data export.

order -> job (kick-off, status, manifest) -> downloading, checking -> summary; `journal` is what a later command goes
on from, `asking` sends the requests, `exporting` has the whole.
"""

from server.commands.export.command import run_export
from server.commands.export.exporting import export
from server.commands.export.job import Pace
from server.commands.export.order import CannotExport, Order
from server.commands.export.summary import ExportSummary

__all__ = ["CannotExport", "ExportSummary", "Order", "Pace", "export", "run_export"]
