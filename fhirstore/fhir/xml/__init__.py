"""FHIR XML at the edge: `read` makes the JSON object of it, `write` makes it of a JSON object, `write_page`
of a page of resources some of which may have no XML. JSON is what is stored.

https://hl7.org/fhir/R4/xml.html
"""

from fhirstore.fhir.xml.pages import write_page
from fhirstore.fhir.xml.reading import read
from fhirstore.fhir.xml.writing import write

__all__ = ["read", "write", "write_page"]
