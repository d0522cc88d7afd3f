"""SMART Backend Services: the server is its own authorization server, for programs that act without a user.

| file | content |
|---|---|
| `authorization` | `POST [base]/auth/token`: a client's signed assertion for an access token |
| `assertions` | what an assertion must say |
| `requests` | the form of a token request, and the errors of RFC 6749 |
| `grants` | which scopes are granted: those asked for that the client is registered for |
| `clients` | the registered clients: of the configuration, and of the store |
| `own_tokens` | the access tokens: signed with a key of the tenant, verified by every process |
| `failures` | the bound on failing requests |
| `configuration` | `/.well-known/smart-configuration` |

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""
