-- People and what they may: passwords, roles, teams, sign-ins.

ALTER TABLE users ADD COLUMN password_hash TEXT;
ALTER TABLE users ADD COLUMN email_verified BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN is_superuser BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN source TEXT NOT NULL DEFAULT 'local';
ALTER TABLE users ADD COLUMN external_id TEXT;
ALTER TABLE users ADD COLUMN last_login_at BIGINT;
ALTER TABLE users ADD COLUMN updated_at BIGINT NOT NULL DEFAULT 0;
UPDATE users SET updated_at = created_at;
-- People sign in before their account is known.
CREATE UNIQUE INDEX users_login ON users (lower(username));
CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
CREATE UNIQUE INDEX users_external ON users (account_id, source, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE user_roles (
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    role TEXT NOT NULL,
    granted_by UUID,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, user_id, role),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
INSERT INTO user_roles (account_id, user_id, role, granted_at) SELECT id, owner_id, 'owner', created_at FROM accounts;

CREATE TABLE teams (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, name)
);

CREATE TABLE team_members (
    account_id UUID NOT NULL,
    team_id UUID NOT NULL,
    user_id UUID NOT NULL,
    added_by UUID,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, team_id, user_id),
    FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
CREATE INDEX team_members_user ON team_members (account_id, user_id);

CREATE TABLE team_roles (
    account_id UUID NOT NULL,
    team_id UUID NOT NULL,
    role TEXT NOT NULL,
    granted_by UUID,
    granted_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, team_id, role),
    FOREIGN KEY (account_id, team_id) REFERENCES teams (account_id, id) ON DELETE CASCADE
);

-- A sign-in, or a person's consent to a client: what access tokens are given out under.
CREATE TABLE grants (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    kind TEXT NOT NULL,
    -- who it was given to, for people: a browser, a command line, a client's name
    client TEXT NOT NULL,
    client_id TEXT,
    address TEXT,
    scopes TEXT NOT NULL,
    resource TEXT,
    impersonator_id UUID,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    -- no refreshing beyond this
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
CREATE INDEX grants_user ON grants (account_id, user_id);

-- Used ones stay until their grant is over: one that comes back was stolen.
CREATE TABLE refresh_tokens (
    hash BYTEA NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    grant_id UUID NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (account_id, grant_id) REFERENCES grants (account_id, id) ON DELETE CASCADE
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (account_id, grant_id);

ALTER TABLE api_keys ADD COLUMN kind TEXT NOT NULL DEFAULT 'api_key';
ALTER TABLE api_keys ADD COLUMN grant_id UUID;
ALTER TABLE api_keys ADD COLUMN impersonator_id UUID;
CREATE INDEX api_keys_grant ON api_keys (account_id, grant_id) WHERE grant_id IS NOT NULL;
-- Names are for keys people make; access tokens carry their client's.
DROP INDEX api_keys_name;
CREATE UNIQUE INDEX api_keys_name ON api_keys (account_id, name) WHERE revoked_at IS NULL AND kind = 'api_key';

-- Who acted in the person's place.
ALTER TABLE records ADD COLUMN impersonator_id UUID;
