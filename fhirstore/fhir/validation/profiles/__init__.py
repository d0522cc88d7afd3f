"""Does a resource conform to a profile, a StructureDefinition with derivation `constraint`?

`rules` reads a profile into a tree, `items` finds in a resource what a rule is about, `values` compares with fixed and
pattern values, `slicing` tells which slice an item is of, `conformance` puts them together. `library` collects, before,
what a profile refers to: other profiles, extensions, value sets. What is not checked is said.

https://hl7.org/fhir/R4/profiling.html
"""
