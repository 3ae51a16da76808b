-- Times are UTC microseconds, ids are UUIDs, JSON is text as it came.

CREATE TABLE instance (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    key_check BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE accounts (
    id UUID NOT NULL PRIMARY KEY,
    owner_id UUID NOT NULL,
    data_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    username TEXT NOT NULL,
    email TEXT,
    full_name TEXT,
    is_active BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, username)
);

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    hash BYTEA NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    scopes TEXT NOT NULL,
    agent TEXT,
    session_id UUID,
    allowed_tools TEXT,
    allowed_servers TEXT,
    expires_at BIGINT,
    last_used_at BIGINT,
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id)
);
CREATE UNIQUE INDEX api_keys_name ON api_keys (account_id, name) WHERE revoked_at IS NULL;

CREATE TABLE servers (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    transport TEXT NOT NULL,
    auth TEXT NOT NULL,
    settings TEXT NOT NULL,
    status TEXT NOT NULL,
    last_scan_at BIGINT,
    last_error TEXT,
    facts TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, slug),
    UNIQUE (account_id, name)
);

CREATE TABLE secrets (
    account_id UUID NOT NULL REFERENCES accounts (id),
    owner_kind TEXT NOT NULL,
    owner_id UUID NOT NULL,
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, owner_kind, owner_id, name)
);

CREATE TABLE tools (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    server_id UUID NOT NULL,
    upstream_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition TEXT NOT NULL,
    pinned_hash BYTEA NOT NULL,
    definition_hash BYTEA NOT NULL,
    drifted_definition TEXT,
    pin TEXT NOT NULL,
    discovered_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    removed_at BIGINT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, exposed_name),
    UNIQUE (account_id, server_id, upstream_name),
    FOREIGN KEY (account_id, server_id) REFERENCES servers (account_id, id) ON DELETE CASCADE
);

CREATE TABLE tool_versions (
    account_id UUID NOT NULL,
    tool_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    definition TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    PRIMARY KEY (account_id, tool_id, hash),
    FOREIGN KEY (account_id, tool_id) REFERENCES tools (account_id, id) ON DELETE CASCADE
);

CREATE TABLE tool_findings (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    tool_id UUID NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    detail TEXT NOT NULL,
    state TEXT NOT NULL,
    FOREIGN KEY (account_id, tool_id) REFERENCES tools (account_id, id) ON DELETE CASCADE
);
CREATE INDEX tool_findings_tool ON tool_findings (account_id, tool_id);

CREATE TABLE workflows (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    timeout_seconds BIGINT NOT NULL,
    require_reason BOOLEAN NOT NULL,
    is_default BOOLEAN NOT NULL,
    async_approval BOOLEAN NOT NULL,
    approvals_required BIGINT NOT NULL,
    approvers TEXT NOT NULL,
    channels TEXT NOT NULL,
    extra TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT,
    UNIQUE (account_id, id)
);
CREATE UNIQUE INDEX workflows_name ON workflows (account_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX workflows_default ON workflows (account_id) WHERE is_default AND deleted_at IS NULL;

CREATE TABLE tool_configs (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    tool_name TEXT NOT NULL,
    -- `builtin`, `any_server`, or the server's id
    source TEXT NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    workflow_id UUID,
    justification TEXT,
    description TEXT,
    custom_config TEXT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, source, tool_name),
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id)
);

CREATE TABLE access_rules (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    tool_config_id UUID NOT NULL,
    priority BIGINT NOT NULL,
    action TEXT NOT NULL,
    expression TEXT,
    language TEXT NOT NULL,
    description TEXT,
    is_enabled BOOLEAN NOT NULL,
    workflow_id UUID,
    overridable BOOLEAN NOT NULL,
    UNIQUE (account_id, tool_config_id, priority),
    FOREIGN KEY (account_id, tool_config_id) REFERENCES tool_configs (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id)
);

CREATE TABLE account_defaults (
    account_id UUID NOT NULL PRIMARY KEY REFERENCES accounts (id),
    unknown_tools TEXT NOT NULL,
    require_approval_for_new_tools BOOLEAN NOT NULL,
    default_workflow_id UUID,
    new_tools_since BIGINT,
    FOREIGN KEY (account_id, default_workflow_id) REFERENCES workflows (account_id, id)
);

CREATE TABLE subject_governance (
    account_id UUID NOT NULL REFERENCES accounts (id),
    subject_type TEXT NOT NULL,
    subject_id UUID NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (account_id, subject_type, subject_id)
);

CREATE TABLE approvals (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    call_id UUID NOT NULL,
    workflow_id UUID NOT NULL,
    workflow_name TEXT NOT NULL,
    tool_id UUID,
    server_id UUID,
    server TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition_hash BYTEA NOT NULL,
    key_id UUID NOT NULL,
    user_id UUID NOT NULL,
    agent_id UUID,
    session_id UUID,
    client TEXT,
    args_hash BYTEA NOT NULL,
    arguments BYTEA NOT NULL,
    justification TEXT,
    status TEXT NOT NULL,
    approvals_required BIGINT NOT NULL,
    approvers TEXT NOT NULL,
    require_reason BOOLEAN NOT NULL,
    async_mode BOOLEAN NOT NULL,
    requested_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    execute_within BIGINT NOT NULL,
    resolved_at BIGINT,
    decided_by UUID,
    comment TEXT,
    policy_version TEXT NOT NULL,
    rule_context TEXT NOT NULL,
    shown_hash BYTEA,
    -- part of the row because they change only under its lock
    votes TEXT NOT NULL,
    execution TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    writer_id UUID,
    lease_until BIGINT,
    execute_before BIGINT,
    outcome TEXT,
    result BYTEA,
    delivered_at BIGINT,
    -- what a repeated call joins; null once there is nothing left to join
    dedupe_key BYTEA UNIQUE
);
CREATE INDEX approvals_account ON approvals (account_id, requested_at);
CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE status = 'pending';
CREATE INDEX approvals_ready ON approvals (execute_before) WHERE status = 'approved' AND execution = 'none';
CREATE INDEX approvals_claimed ON approvals (lease_until) WHERE execution = 'claimed';

CREATE TABLE approval_events (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id UUID NOT NULL,
    approval_id UUID NOT NULL REFERENCES approvals (id),
    event_type TEXT NOT NULL,
    detail TEXT,
    comment TEXT,
    actor_id UUID,
    at BIGINT NOT NULL
);
CREATE INDEX approval_events_approval ON approval_events (approval_id, id);

CREATE TABLE approval_tokens (
    token_hash BYTEA NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL,
    approval_id UUID NOT NULL REFERENCES approvals (id),
    user_id UUID,
    recipient TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE outbox (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    approval_id UUID,
    payload BYTEA NOT NULL,
    status TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    last_error TEXT,
    created_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (approval_id, channel, recipient)
);
CREATE INDEX outbox_due ON outbox (next_at) WHERE status = 'pending';

CREATE TABLE mcp_sessions (
    account_id UUID NOT NULL REFERENCES accounts (id),
    id TEXT NOT NULL,
    key_id UUID NOT NULL,
    client_info TEXT,
    version TEXT NOT NULL,
    capabilities TEXT,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, id)
);
CREATE INDEX mcp_sessions_last_seen ON mcp_sessions (last_seen_at);

CREATE TABLE policy_versions (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    number BIGINT NOT NULL,
    yaml BYTEA NOT NULL,
    description TEXT,
    tag TEXT,
    active BOOLEAN NOT NULL,
    created_by UUID,
    created_at BIGINT NOT NULL,
    UNIQUE (account_id, number),
    UNIQUE (account_id, tag)
);

CREATE TABLE writers (
    id UUID NOT NULL PRIMARY KEY,
    started_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

-- One chain per account and writer.
CREATE TABLE chains (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id UUID NOT NULL,
    writer_id UUID NOT NULL,
    -- no record ahead of this one is an intent without an outcome
    settled_seq BIGINT NOT NULL,
    UNIQUE (account_id, writer_id)
);

-- Written on the hot path: no foreign keys, few indexes.
CREATE TABLE records (
    chain_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    account_id UUID NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    call_id UUID,
    user_id UUID,
    key_id UUID,
    agent_id UUID,
    session_id UUID,
    body TEXT NOT NULL,
    payload_hash BYTEA,
    prev_hash BYTEA NOT NULL,
    row_hash BYTEA NOT NULL,
    -- salt and payload, sealed; null once erased
    payload BYTEA,
    PRIMARY KEY (chain_id, seq)
);
CREATE INDEX records_at ON records (account_id, at, chain_id, seq);
CREATE INDEX records_call ON records (call_id) WHERE call_id IS NOT NULL;

CREATE TABLE checkpoints (
    chain_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    account_id UUID NOT NULL,
    first_seq BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    root BYTEA NOT NULL,
    previous BYTEA NOT NULL,
    at BIGINT NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (chain_id, number)
);
