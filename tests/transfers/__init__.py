"""Tests of direct transfer: `fhirstore.transfers`."""
