"""`fhirstore upload` and `fhirstore download`: one file to a Binary, and back; each goes on where it was cut.

| module | content |
|---|---|
| `command` | the two commands: bars, summary, exit codes |
| `uploading`, `downloading` | one file to or from a place |
| `place` | what both ask of a place |
| `remote`, `here` | the places: a FHIR server, or the store itself |
| `kept` | what lies beside the file while it is not whole |
| `summary` | progress and summary |
"""

from server.commands.transfer.command import run_download, run_upload

__all__ = ["run_download", "run_upload"]
