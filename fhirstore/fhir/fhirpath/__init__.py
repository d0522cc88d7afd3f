"""FHIRPath expressions as trees. What a tree means is up to who walks it: search parameters, patches.

https://hl7.org/fhirpath/N1/
"""
