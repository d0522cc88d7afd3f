"""Validation of resources: a fast pass that accepts, and an exact pass that explains.

- `primitives`, `references` and `narrative` check values; `element_checks` chooses the check for an element; `codings`
  checks required bindings.
- `fast` accepts nearly every valid resource in microseconds, and never an invalid one. What it does not accept goes to
  `exact`, which decides and names every error.
- `full` checks what the types alone do not say: invariants, reference targets, ids. `profiles` checks conformance to
  profiles.
- `validator` puts the passes together for writes; `operation` is `$validate`.

https://hl7.org/fhir/R4/validation.html
"""

from fhirstore.fhir.validation.validator import LEVELS, Validator

__all__ = ["LEVELS", "Validator"]
