"""Turns the official FHIR packages into the committed files of definitions; see `make definitions`."""
