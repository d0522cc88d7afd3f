"""Search parameters as functions: from a resource to a parameter's values, and to the compartments it is in.

Official expressions use a small part of FHIRPath, which is compiled to closures (see docs/performance.md).

https://hl7.org/fhir/R4/searchparameter.html
"""
