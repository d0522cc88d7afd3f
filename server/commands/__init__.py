"""The commands of `fhirstore`: one file each, called by `server.command_line`."""
