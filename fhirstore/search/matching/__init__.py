"""Does a resource meet search criteria? Evaluated on the parsed resource alone, without an index.

`filter` reads a query into criteria; each other module is one or two types of parameters: `tokens`, `dates`, `strings`,
`references` (and URIs), `numbers` (and quantities).

https://hl7.org/fhir/R4/search.html
"""

from fhirstore.search.matching.filter import ResourceFilter, filter_parameters, parse_filter, parse_type_filter

__all__ = ["ResourceFilter", "filter_parameters", "parse_filter", "parse_type_filter"]
