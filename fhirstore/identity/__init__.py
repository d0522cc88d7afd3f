"""Identity: whoever creates on a condition makes no second resource, whoever else tries at the same time.

Read in this order: `claim` (one writer at a time per identifier value), `conditional` (create, update, patch and delete
of what matches), `guard` (the same for a transaction). What matches is found by `fhirstore.search.candidates`; the
entries of the index are written by `fhirstore.commit` before each version that brings a new identifier.

For a caller, in order:

    criteria = parse_condition("Patient", "identifier=system|value")        # fhirstore.search.criteria
    matches = yield from find(keys, criteria, most=2)                       # fhirstore.search.candidates
    outcome = yield from create_unless(keys, criteria, creation, context=context)
    outcome = yield from change_matching(keys, criteria, decide, context=context)
    done = yield from transact(parts, context=context, guard=exclusive(keys, wanted, context=context))

**Why there is never a second one.** Let A and B create on conditions that share an identifier value, both commit, A
first. Both held the claim on this value, one after the other. Had B held it first, A could have taken it over only
when B was committed or could not commit any more; so A was first, and when B took the claim over, A was committed. B
looked for matches *after* it held the claim. A's index entry was there before A was committed, so B found A, and did
not create.

So a condition to create on must name ids or values, which can be claimed. `system|` names none: its claim would have
to be taken by all who create anything with an identifier of the system, one after the other (`criteria.for_creation`).
To change or to refer to what matches no claim is needed, and any criteria will do.

https://hl7.org/fhir/R4/http.html#ccreate · https://hl7.org/fhir/R4/http.html#cond-update
"""
