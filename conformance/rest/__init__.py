"""The RESTful API, sentence by sentence: a black-box suite for any FHIR R4 server.

`python -m conformance rest BASE_URL`. One check per sentence of the specification, which it cites.
https://hl7.org/fhir/R4/http.html
"""
