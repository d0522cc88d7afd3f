"""Search parameters as functions: from a resource to the values that a parameter sees, and to its compartments.

Official expressions use a small part of FHIRPath, which compiles to closures that take microseconds.

https://hl7.org/fhir/R4/searchparameter.html
"""
