"""FHIRPath expressions as syntax trees. Search parameters, patches and validation each evaluate them in their own way.

https://hl7.org/fhirpath/N1/
"""
