"""Conformance of a resource to a profile, a StructureDefinition with derivation `constraint`.

- `library` collects, before the check, what a profile refers to: other profiles, extensions, value sets, code systems.
- `profile` reads a profile into a tree of element definitions; `items` finds the items of a resource that a definition
  applies to; `values` compares them with fixed and pattern values; `slicing` assigns items to slices; `conformance`
  performs the check.

What is not checked is reported. https://hl7.org/fhir/R4/profiling.html
"""
