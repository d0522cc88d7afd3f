"""Does a resource obey FHIR? A fast pass that accepts, an exact one that explains.

`rules` and `primitives` say what values may be, `references` and `narrative` what two of them need on top. `fast`
accepts nearly everything that is right in some microseconds and nothing that is wrong; for what it does not accept,
`exact` decides and names every error. `full` is for what cannot be told from the types alone. `validator` puts them
together.
"""

from fhirstore.fhir.validation.validator import LEVELS, Validator

__all__ = ["LEVELS", "Validator"]
