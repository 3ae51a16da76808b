-- What a person wants to be told by; absent rows mean the defaults.
CREATE TABLE notification_preferences (
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    preferred_channel TEXT NOT NULL,
    enable_email BOOLEAN NOT NULL,
    enable_push BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, user_id),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);

-- Phones, browsers and topics that one person's notices go to.
CREATE TABLE devices (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    channel TEXT NOT NULL,
    platform TEXT NOT NULL,
    name TEXT NOT NULL,
    -- what reaches it; sealed
    address BYTEA NOT NULL,
    -- of its token or endpoint, by which it is found again
    token_hash BYTEA NOT NULL,
    -- the API key it decides with
    key_id UUID,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, user_id, channel, token_hash),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);

-- Codes shown as a QR code, each good for one device within minutes.
CREATE TABLE device_codes (
    code_hash BYTEA NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);

-- Who somebody in a chat is here.
CREATE TABLE chat_links (
    account_id UUID NOT NULL,
    provider TEXT NOT NULL,
    team TEXT NOT NULL,
    chat_user TEXT NOT NULL,
    chat_name TEXT NOT NULL,
    user_id UUID NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, provider, team, chat_user),
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);

-- Signatures of clicks that were seen, so that none counts twice.
CREATE TABLE chat_clicks (
    hash BYTEA NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL
);

-- Event webhooks.
CREATE TABLE event_endpoints (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    url TEXT NOT NULL,
    description TEXT,
    -- a list of types; empty is all
    event_types TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    secret BYTEA NOT NULL,
    secret_hint TEXT NOT NULL,
    -- failed attempts in a row
    failures BIGINT NOT NULL,
    paused_until BIGINT,
    last_error TEXT,
    -- events that found the queue full
    dropped BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX event_endpoints_account ON event_endpoints (account_id);

-- Times in which one person is not told, or not asked.
CREATE TABLE approval_bypasses (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    mode TEXT NOT NULL,
    -- null: of all agents
    agent_id UUID,
    reason TEXT,
    created_via TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_by UUID,
    auto_approved BIGINT NOT NULL,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id) ON DELETE CASCADE
);
CREATE INDEX approval_bypasses_active ON approval_bypasses (account_id, expires_at);

-- An event goes to every endpoint that wants it, under one id.
ALTER TABLE outbox ADD COLUMN event_id UUID;
ALTER TABLE outbox ADD COLUMN event_type TEXT;
CREATE INDEX outbox_account ON outbox (account_id, status, channel);
CREATE INDEX outbox_finished ON outbox (finished_at) WHERE finished_at IS NOT NULL;
