"""Tests of `fhirstore submit`: into a store, against our own server, and against one that a test scripts."""
