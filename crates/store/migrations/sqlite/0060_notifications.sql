-- What a person wants to be told by; absent rows mean the defaults.
CREATE TABLE notification_preferences (
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    preferred_channel TEXT NOT NULL,
    enable_email INTEGER NOT NULL,
    enable_push INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, user_id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;

-- Phones, browsers and topics that one person's notices go to.
CREATE TABLE devices (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    channel TEXT NOT NULL,
    platform TEXT NOT NULL,
    name TEXT NOT NULL,
    -- what reaches it; sealed
    address BLOB NOT NULL,
    -- of its token or endpoint, by which it is found again
    token_hash BLOB NOT NULL,
    -- the API key it decides with
    key_id BLOB,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, user_id, channel, token_hash),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;

-- Codes shown as a QR code, each good for one device within minutes.
CREATE TABLE device_codes (
    code_hash BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;

-- Who somebody in a chat is here.
CREATE TABLE chat_links (
    account_id BLOB NOT NULL,
    provider TEXT NOT NULL,
    team TEXT NOT NULL,
    chat_user TEXT NOT NULL,
    chat_name TEXT NOT NULL,
    user_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, provider, team, chat_user),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;

-- Signatures of clicks that were seen, so that none counts twice.
CREATE TABLE chat_clicks (
    hash BLOB NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Event webhooks.
CREATE TABLE event_endpoints (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    description TEXT,
    -- a list of types; empty is all
    event_types TEXT NOT NULL,
    is_active INTEGER NOT NULL,
    secret BLOB NOT NULL,
    secret_hint TEXT NOT NULL,
    -- failed attempts in a row
    failures INTEGER NOT NULL,
    paused_until INTEGER,
    last_error TEXT,
    -- events that found the queue full
    dropped INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX event_endpoints_account ON event_endpoints (account_id);

-- Times in which one person is not told, or not asked.
CREATE TABLE approval_bypasses (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    mode TEXT NOT NULL,
    -- null: of all agents
    agent_id BLOB,
    reason TEXT,
    created_via TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revoked_by BLOB,
    auto_approved INTEGER NOT NULL,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX approval_bypasses_active ON approval_bypasses (account_id, expires_at);

-- An event goes to every endpoint that wants it, under one id.
ALTER TABLE outbox ADD COLUMN event_id BLOB;
ALTER TABLE outbox ADD COLUMN event_type TEXT;
CREATE INDEX outbox_account ON outbox (account_id, status, channel);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;
