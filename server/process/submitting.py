"""Who may submit in bulk, and how what they submit is fetched: FHIRSTORE_SUBMITTERS."""

from __future__ import annotations

from pathlib import Path

from fhirstore import SubmitOptions, Submitters
from server.settings import Settings


def submit_options(settings: Settings) -> SubmitOptions:
    """Returns the options of submissions; without the setting nobody may submit.

    Reads the file anew. Raises StoreMisconfigured with one line that says what to correct.
    """
    if settings.submitters is None:
        return SubmitOptions()
    from fhirstore import NetworkSources  # noqa: PLC0415 - with its HTTP client and its cryptography, only where needed

    submitters = Submitters.read(Path(settings.submitters))
    return SubmitOptions(submitters=submitters, sources=NetworkSources(s3=settings.s3))
