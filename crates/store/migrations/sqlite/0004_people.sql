-- People and what they may: passwords, roles, teams, sign-ins.

ALTER TABLE users ADD COLUMN password_hash TEXT;
ALTER TABLE users ADD COLUMN email_verified INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN is_superuser INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN source TEXT NOT NULL DEFAULT 'local';
ALTER TABLE users ADD COLUMN external_id TEXT;
ALTER TABLE users ADD COLUMN last_login_at INTEGER;
ALTER TABLE users ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;
UPDATE users SET updated_at = created_at;
-- People sign in before their account is known.
CREATE UNIQUE INDEX users_login ON users (lower(username));
CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_external ON users (account_id, source, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE user_roles (
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    role TEXT NOT NULL,
    granted_by BLOB,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, user_id, role),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
INSERT INTO user_roles (account_id, user_id, role, granted_at) SELECT id, owner_id, 'owner', created_at FROM accounts;

CREATE TABLE teams (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, name)
) STRICT;

CREATE TABLE team_members (
    account_id BLOB NOT NULL,
    team_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    added_by BLOB,
    added_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, team_id, user_id),
    FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX team_members_user ON team_members (account_id, user_id);

CREATE TABLE team_roles (
    account_id BLOB NOT NULL,
    team_id BLOB NOT NULL,
    role TEXT NOT NULL,
    granted_by BLOB,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, team_id, role),
    FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id) ON DELETE CASCADE
) STRICT;

-- A sign-in, or a person's consent to a client: what access tokens are given out under.
CREATE TABLE grants (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    -- who it was given to, for people: a browser, a command line, a client's name
    client TEXT NOT NULL,
    client_id TEXT,
    address TEXT,
    scopes TEXT NOT NULL,
    resource TEXT,
    impersonator_id BLOB,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    -- no refreshing beyond this
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX grants_user ON grants (account_id, user_id);

-- Used ones stay until their grant is over: one that comes back was stolen.
CREATE TABLE refresh_tokens (
    hash BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    grant_id BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    FOREIGN KEY (account_id, grant_id) REFERENCES grants (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (account_id, grant_id);

ALTER TABLE api_keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'api_key';
ALTER TABLE api_keys ADD COLUMN grant_id BLOB;
ALTER TABLE api_keys ADD COLUMN impersonator_id BLOB;
CREATE INDEX api_keys_grant ON api_keys (account_id, grant_id) WHERE grant_id IS NOT NULL;
-- Names are for keys people make; access tokens carry their client's.
DROP INDEX api_keys_name;
CREATE UNIQUE INDEX api_keys_name ON api_keys (account_id, name) WHERE revoked_at IS NULL AND kind = 'api_key';

-- Who acted in the person's place.
ALTER TABLE records ADD COLUMN impersonator_id BLOB;
