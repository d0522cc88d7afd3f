"""What each FHIR interaction decides, before the commit protocol writes it."""
