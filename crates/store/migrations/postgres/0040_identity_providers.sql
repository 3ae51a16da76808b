-- Where an account's people may sign in with an identity they have elsewhere.
CREATE TABLE identity_providers (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
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
    create_users BOOLEAN NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    allow_private_network BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id)
);
