"""Turns the official FHIR packages into the committed facts files, see `make definitions`."""
