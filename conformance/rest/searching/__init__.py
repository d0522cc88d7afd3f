"""Searching, sentence by sentence of https://hl7.org/fhir/R4/search.html: a module for each part of the page.

Each check makes a sample of resources that only it sees, since each carries a tag of its own, and says which of them a
search finds.
"""
