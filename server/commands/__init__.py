"""The commands of `fhirstore`: one file each, called by `server.cli`."""
