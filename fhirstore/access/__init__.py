"""What a client may do: the scopes of a token, and their enforcement.

| file | content |
|---|---|
| `scopes` | the grammar of SMART scopes, version 1 and 2 |
| `access` | an `Access`: who asks, and which scopes were granted |
| `interactions` | the rights that each interaction needs |
| `sight` | the resources that an access sees, and the writes that it may make |

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
"""
