"""FHIR XML: `read` turns it into the JSON object, `write` turns a JSON object into XML, `write_page` writes a page of
resources some of which may have no XML form. What is stored is JSON.

https://hl7.org/fhir/R4/xml.html
"""

from fhirstore.fhir.xml.bundles import write_page
from fhirstore.fhir.xml.reading import read
from fhirstore.fhir.xml.writing import write

__all__ = ["read", "write", "write_page"]
