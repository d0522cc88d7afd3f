"""The decision of each FHIR interaction, which the commit protocol writes."""
