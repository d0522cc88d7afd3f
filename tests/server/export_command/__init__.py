"""Tests of `fhirstore export`, against a bulk data server that does what a test tells it."""
