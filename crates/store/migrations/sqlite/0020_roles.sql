-- The kill switch. One row for each thing that is halted.

CREATE TABLE halts (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    scope TEXT NOT NULL,
    halted_by BLOB NOT NULL,
    -- as they were called then
    username TEXT NOT NULL,
    halted_at INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (account_id, scope)
) STRICT;

-- Whether models may be called at all was a setting of its own.
INSERT INTO halts (account_id, scope, halted_by, username, halted_at, reason)
    SELECT a.id, 'gateway', a.owner_id, u.username, a.created_at, 'model traffic was switched off'
    FROM account_models m JOIN accounts a ON a.id = m.account_id JOIN users u ON u.id = a.owner_id
    WHERE NOT m.model_traffic;
ALTER TABLE account_models DROP COLUMN model_traffic;

-- Who looks after the instance: whoever it was made for.
UPDATE users SET is_superuser = 1 WHERE id = (SELECT owner_id FROM accounts ORDER BY created_at, id LIMIT 1);

-- Only the hash of an invitation's token is kept.
CREATE TABLE invitations (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    email TEXT NOT NULL,
    -- JSON arrays
    roles TEXT NOT NULL,
    teams TEXT NOT NULL,
    invited_by BLOB NOT NULL,
    token_hash BLOB NOT NULL UNIQUE,
    expires_at INTEGER NOT NULL,
    accepted_at INTEGER,
    accepted_by BLOB,
    cancelled_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX invitations_account ON invitations (account_id, created_at);

ALTER TABLE accounts ADD COLUMN organization_name TEXT;
ALTER TABLE accounts ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET updated_at = created_at;
