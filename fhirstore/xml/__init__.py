"""FHIR XML at the edge: `read` makes the JSON object of it, `write` makes it of a JSON object. JSON is what is stored.

https://hl7.org/fhir/R4/xml.html
"""

from fhirstore.xml.reading import read
from fhirstore.xml.writing import write

__all__ = ["read", "write"]
