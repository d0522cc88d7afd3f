"""Bearer tokens: signed claims (JWT) of outside issuers or of this server, and what they allow.

| file | content |
|---|---|
| `jws` | the compact form of a signed token, read strictly |
| `keys` | public keys, and which of them a token may have been signed with |
| `claims` | what every token must say of its issuer, audience and times |
| `bad_token` | why a token is not accepted |
| `key_sets` | key sets by URL: fetched, kept, and fetched again for an unknown key |
| `issuers` | outside issuers: discovery, and the access that their claims give |
| `verification` | from the header of a request to an access; verified tokens are kept until they expire |

https://www.rfc-editor.org/rfc/rfc6750 · https://www.rfc-editor.org/rfc/rfc8725 (best practices for JWT)
"""
