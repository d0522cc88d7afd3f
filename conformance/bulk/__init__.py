"""Bulk export and submit, sentence by sentence: a black-box suite for any server of the FHIR Bulk Data Access IG.

`python -m conformance bulk BASE_URL [--version 3|4]`. One check per SHALL and SHOULD that the IG addresses to servers
about export and submit, which it cites: version 3.0.0 (https://hl7.org/fhir/uv/bulkdata/STU3/) or the ballot of 4.0.0
(https://build.fhir.org/ig/HL7/bulk-data/).
"""
