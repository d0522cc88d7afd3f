"""`fhirstore cost`: what requests and storage cost by a file of prices."""

from server.commands.cost.command import run_cost

__all__ = ["run_cost"]
