"""`fhirstore load`: sends files of FHIR resources to any FHIR server. reading -> loading -> sending -> summary."""

from server.commands.load.command import run_load
from server.commands.load.loading import Progress, load
from server.commands.load.reading import CannotLoad
from server.commands.load.summary import LoadSummary
from server.commands.retries import Retries

__all__ = ["CannotLoad", "LoadSummary", "Progress", "Retries", "load", "run_load"]
