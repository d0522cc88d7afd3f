"""What `fhirstore` does when it is not asked over HTTP: one file per command, called by `server.cli`."""
