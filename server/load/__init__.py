"""`fhirstore load`: sends files of FHIR resources to any FHIR server. reading -> loading -> sending -> summary."""

from server.load.command import run_load
from server.load.loading import Progress, load
from server.load.reading import CannotLoad
from server.load.sending import Retries
from server.load.summary import LoadSummary

__all__ = ["CannotLoad", "LoadSummary", "Progress", "Retries", "load", "run_load"]
