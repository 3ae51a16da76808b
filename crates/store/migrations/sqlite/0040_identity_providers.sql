-- Where an account's people may sign in with an identity they have elsewhere.
CREATE TABLE identity_providers (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    issuer TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    groups_claim TEXT NOT NULL,
    groups TEXT NOT NULL,
    default_role TEXT,
    allowed_domains TEXT NOT NULL,
    create_users INTEGER NOT NULL,
    is_enabled INTEGER NOT NULL,
    allow_private_network INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id)
) STRICT;
