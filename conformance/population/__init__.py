"""A made-up population: patients of the shape and sizes that Synthea gives them, for measurements and large tests.

    python -m conformance population 10000 --out FOLDER     # NDJSON files, one per type

A population is a seed. Its n-th patient is the same whenever and wherever it is made, and needs none of the others:
whoever fills a server can go on where it stopped, and whoever searches knows what is there without reading it. Of 100
resources about 44 are Observations, 9 DiagnosticReports, 8 Claims; 6 each Encounters, DocumentReferences,
ExplanationOfBenefits and Immunizations; 4 Conditions, 3 Procedures. A patient has about 170, of 1.5 KB on average.
All references are `Type/id` and lead to resources of the population.

`draws` are seeded random numbers, `vocabulary` has names and codes, `places` where care is given, `patients` who gets
it, `visits` what happens at an encounter, `findings` what is measured, `papers` what is written and billed about it,
`population` puts them in order, `command` writes files.
"""
