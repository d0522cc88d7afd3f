"""The probe: may several writers share this store? It races them and sees, because documentation does not tell.

A store that loses updates passes every sequential check (measured: up to 50 winners of 50 on some S3 servers), so
the server probes before it serves and refuses a store on which a commit would not be the only one.
`run` says what is checked, `races` and `properties` how, `report` how it is told.
"""

from fhirstore.objects.probe.client import SHORT, THOROUGH, Effort
from fhirstore.objects.probe.report import Check, Outcome, ProbeReport, advice, render
from fhirstore.objects.probe.run import probe

__all__ = ["SHORT", "THOROUGH", "Check", "Effort", "Outcome", "ProbeReport", "advice", "probe", "render"]
