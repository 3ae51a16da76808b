-- The OAuth 2.1 authorization server: who may ask for consent, and consents on their way to a token.

-- Clients that registered themselves (RFC 7591). Of no account: they come before anybody is known.
CREATE TABLE oauth_clients (
    id TEXT NOT NULL PRIMARY KEY,
    secret_hash BLOB,
    auth_method TEXT NOT NULL,
    name TEXT,
    uri TEXT,
    redirect_uris TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- when somebody last consented to it
    consented_at INTEGER
) STRICT;
CREATE INDEX oauth_clients_unused ON oauth_clients (created_at) WHERE consented_at IS NULL;

-- Authorization codes. A used one stays for a while: one that comes back was stolen.
CREATE TABLE oauth_codes (
    hash BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    client_id TEXT NOT NULL,
    client TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    challenge TEXT NOT NULL,
    scopes TEXT NOT NULL,
    resource TEXT NOT NULL,
    address TEXT,
    expires_at INTEGER NOT NULL,
    -- what it was exchanged for
    grant_id BLOB,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX oauth_codes_over ON oauth_codes (account_id, expires_at);

-- Command lines that wait for their person (RFC 8628). Of no account until somebody answers.
CREATE TABLE oauth_devices (
    hash BLOB NOT NULL PRIMARY KEY,
    user_code_hash BLOB NOT NULL UNIQUE,
    client TEXT NOT NULL,
    address TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    interval_seconds INTEGER NOT NULL,
    polled_at INTEGER,
    account_id BLOB,
    user_id BLOB,
    approved INTEGER,
    -- what it was exchanged for
    grant_id BLOB
) STRICT;
CREATE INDEX oauth_devices_over ON oauth_devices (expires_at);
