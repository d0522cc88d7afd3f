"""The probe: finds out whether several writers may share a store, by racing writers on it.

A store that loses updates passes every sequential check, and its documentation does not tell. So the server probes
before it serves, and refuses a store where several conditional writes can win. `run` lists the checks, `races` and
`properties` are the checks, `client` sends their requests, `report` is the result.
"""

from fhirstore.objects.probe.client import SHORT, THOROUGH, Effort
from fhirstore.objects.probe.report import Check, Outcome, ProbeReport, advice, render
from fhirstore.objects.probe.run import probe

__all__ = ["SHORT", "THOROUGH", "Check", "Effort", "Outcome", "ProbeReport", "advice", "probe", "render"]
