"""One file per FHIR interaction; each cites its part of https://hl7.org/fhir/R4/http.html."""
