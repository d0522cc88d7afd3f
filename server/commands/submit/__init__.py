"""`fhirstore submit`: bulk submit from the command line, to the store itself or to a server that has `$bulk-submit`.

order (what is to be submitted) -> local: the engine in this process, or remote: a server's operations, which fetches
local files from `serving` -> summary, with what `outcomes` reads.
"""

from server.commands.submit.command import run_submit
from server.commands.submit.local import submit_here
from server.commands.submit.order import CannotSubmit, Order
from server.commands.submit.remote import submit_to
from server.commands.submit.summary import SubmitSummary

__all__ = ["CannotSubmit", "Order", "SubmitSummary", "run_submit", "submit_here", "submit_to"]
