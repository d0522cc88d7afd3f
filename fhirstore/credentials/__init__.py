"""What a server's own token endpoint keeps in a tenant's store: clients, signing keys, assertions that were used.

| file | content |
|---|---|
| `client` | a registered client: its scopes and its public keys |
| `clients` | the registry of a tenant: one object for each client |
| `signing_keys` | the keys that access tokens are signed with, and when they are replaced |
| `assertions` | assertions of clients, each of which counts once |
| `tenant` | all of them together: `TenantStore.credentials` |

Nothing here signs or verifies: keys are opaque JWKs, and the server does the cryptography.
"""
