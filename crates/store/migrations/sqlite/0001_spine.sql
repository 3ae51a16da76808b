-- Times are UTC microseconds, ids are UUIDs, JSON is text as it came.

CREATE TABLE instance (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    key_check BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE accounts (
    id BLOB NOT NULL PRIMARY KEY,
    owner_id BLOB NOT NULL,
    data_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    username TEXT NOT NULL,
    email TEXT,
    full_name TEXT,
    is_active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, username)
) STRICT;

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    prefix TEXT NOT NULL,
    scopes TEXT NOT NULL,
    agent TEXT,
    session_id BLOB,
    allowed_tools TEXT,
    allowed_servers TEXT,
    expires_at INTEGER,
    last_used_at INTEGER,
    revoked_at INTEGER,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (account_id, user_id) REFERENCES users (account_id, id)
) STRICT;
CREATE UNIQUE INDEX api_keys_name ON api_keys (account_id, name) WHERE revoked_at IS NULL;

CREATE TABLE servers (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    slug TEXT NOT NULL,
    name TEXT NOT NULL,
    transport TEXT NOT NULL,
    auth TEXT NOT NULL,
    settings TEXT NOT NULL,
    status TEXT NOT NULL,
    last_scan_at INTEGER,
    last_error TEXT,
    facts TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, slug),
    UNIQUE (account_id, name)
) STRICT;

CREATE TABLE secrets (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    owner_kind TEXT NOT NULL,
    owner_id BLOB NOT NULL,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, owner_kind, owner_id, name)
) STRICT;

CREATE TABLE tools (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    server_id BLOB NOT NULL,
    upstream_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition TEXT NOT NULL,
    pinned_hash BLOB NOT NULL,
    definition_hash BLOB NOT NULL,
    drifted_definition TEXT,
    pin TEXT NOT NULL,
    discovered_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    removed_at INTEGER,
    UNIQUE (account_id, id),
    UNIQUE (account_id, exposed_name),
    UNIQUE (account_id, server_id, upstream_name),
    FOREIGN KEY (account_id, server_id) REFERENCES servers (account_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE tool_versions (
    account_id BLOB NOT NULL,
    tool_id BLOB NOT NULL,
    hash BLOB NOT NULL,
    definition TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (account_id, tool_id, hash),
    FOREIGN KEY (account_id, tool_id) REFERENCES tools (account_id, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE tool_findings (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    tool_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL,
    detail TEXT NOT NULL,
    state TEXT NOT NULL,
    FOREIGN KEY (account_id, tool_id) REFERENCES tools (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX tool_findings_tool ON tool_findings (account_id, tool_id);

CREATE TABLE workflows (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    description TEXT,
    timeout_seconds INTEGER NOT NULL,
    require_reason INTEGER NOT NULL,
    is_default INTEGER NOT NULL,
    async_approval INTEGER NOT NULL,
    approvals_required INTEGER NOT NULL,
    approvers TEXT NOT NULL,
    channels TEXT NOT NULL,
    extra TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    UNIQUE (account_id, id)
) STRICT;
CREATE UNIQUE INDEX workflows_name ON workflows (account_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX workflows_default ON workflows (account_id) WHERE is_default AND deleted_at IS NULL;

CREATE TABLE tool_configs (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    tool_name TEXT NOT NULL,
    -- `builtin`, `any_server`, or the server's id
    source TEXT NOT NULL,
    is_enabled INTEGER NOT NULL,
    workflow_id BLOB,
    justification TEXT,
    description TEXT,
    custom_config TEXT,
    UNIQUE (account_id, id),
    UNIQUE (account_id, source, tool_name),
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id)
) STRICT;

CREATE TABLE access_rules (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    tool_config_id BLOB NOT NULL,
    priority INTEGER NOT NULL,
    action TEXT NOT NULL,
    expression TEXT,
    language TEXT NOT NULL,
    description TEXT,
    is_enabled INTEGER NOT NULL,
    workflow_id BLOB,
    overridable INTEGER NOT NULL,
    UNIQUE (account_id, tool_config_id, priority),
    FOREIGN KEY (account_id, tool_config_id) REFERENCES tool_configs (account_id, id) ON DELETE CASCADE,
    FOREIGN KEY (account_id, workflow_id) REFERENCES workflows (account_id, id)
) STRICT;

CREATE TABLE account_defaults (
    account_id BLOB NOT NULL PRIMARY KEY REFERENCES accounts (id),
    unknown_tools TEXT NOT NULL,
    require_approval_for_new_tools INTEGER NOT NULL,
    default_workflow_id BLOB,
    new_tools_since INTEGER,
    FOREIGN KEY (account_id, default_workflow_id) REFERENCES workflows (account_id, id)
) STRICT;

CREATE TABLE subject_governance (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    subject_type TEXT NOT NULL,
    subject_id BLOB NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (account_id, subject_type, subject_id)
) STRICT;

CREATE TABLE approvals (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    call_id BLOB NOT NULL,
    workflow_id BLOB NOT NULL,
    workflow_name TEXT NOT NULL,
    tool_id BLOB,
    server_id BLOB,
    server TEXT NOT NULL,
    tool_name TEXT NOT NULL,
    exposed_name TEXT NOT NULL,
    definition_hash BLOB NOT NULL,
    key_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    agent_id BLOB,
    session_id BLOB,
    client TEXT,
    args_hash BLOB NOT NULL,
    arguments BLOB NOT NULL,
    justification TEXT,
    status TEXT NOT NULL,
    approvals_required INTEGER NOT NULL,
    approvers TEXT NOT NULL,
    require_reason INTEGER NOT NULL,
    async_mode INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    execute_within INTEGER NOT NULL,
    resolved_at INTEGER,
    decided_by BLOB,
    comment TEXT,
    policy_version TEXT NOT NULL,
    rule_context TEXT NOT NULL,
    shown_hash BLOB,
    -- part of the row because they change only under its lock
    votes TEXT NOT NULL,
    execution TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    writer_id BLOB,
    lease_until INTEGER,
    execute_before INTEGER,
    outcome TEXT,
    result BLOB,
    delivered_at INTEGER,
    -- what a repeated call joins; null once there is nothing left to join
    dedupe_key BLOB UNIQUE
) STRICT;
CREATE INDEX approvals_account ON approvals (account_id, requested_at);
CREATE INDEX approvals_expiring ON approvals (expires_at) WHERE status = 'pending';
CREATE INDEX approvals_ready ON approvals (execute_before) WHERE status = 'approved' AND execution = 'none';
CREATE INDEX approvals_claimed ON approvals (lease_until) WHERE execution = 'claimed';

CREATE TABLE approval_events (
    id INTEGER NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    approval_id BLOB NOT NULL REFERENCES approvals (id),
    event_type TEXT NOT NULL,
    detail TEXT,
    comment TEXT,
    actor_id BLOB,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX approval_events_approval ON approval_events (approval_id, id);

CREATE TABLE approval_tokens (
    token_hash BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    approval_id BLOB NOT NULL REFERENCES approvals (id),
    user_id BLOB,
    recipient TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE outbox (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    channel TEXT NOT NULL,
    recipient TEXT NOT NULL,
    approval_id BLOB,
    payload BLOB NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    last_error TEXT,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (approval_id, channel, recipient)
) STRICT;
CREATE INDEX outbox_due ON outbox (next_at) WHERE status = 'pending';

CREATE TABLE mcp_sessions (
    account_id BLOB NOT NULL REFERENCES accounts (id),
    id TEXT NOT NULL,
    key_id BLOB NOT NULL,
    client_info TEXT,
    version TEXT NOT NULL,
    capabilities TEXT,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, id)
) STRICT;
CREATE INDEX mcp_sessions_last_seen ON mcp_sessions (last_seen_at);

CREATE TABLE policy_versions (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    number INTEGER NOT NULL,
    yaml BLOB NOT NULL,
    description TEXT,
    tag TEXT,
    active INTEGER NOT NULL,
    created_by BLOB,
    created_at INTEGER NOT NULL,
    UNIQUE (account_id, number),
    UNIQUE (account_id, tag)
) STRICT;

CREATE TABLE writers (
    id BLOB NOT NULL PRIMARY KEY,
    started_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) STRICT;

-- One chain per account and writer.
CREATE TABLE chains (
    id INTEGER NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    writer_id BLOB NOT NULL,
    -- no record ahead of this one is an intent without an outcome
    settled_seq INTEGER NOT NULL,
    UNIQUE (account_id, writer_id)
) STRICT;

-- Written on the hot path: no foreign keys, few indexes.
CREATE TABLE records (
    chain_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    account_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    call_id BLOB,
    user_id BLOB,
    key_id BLOB,
    agent_id BLOB,
    session_id BLOB,
    body TEXT NOT NULL,
    payload_hash BLOB,
    prev_hash BLOB NOT NULL,
    row_hash BLOB NOT NULL,
    -- salt and payload, sealed; null once erased
    payload BLOB,
    PRIMARY KEY (chain_id, seq)
) STRICT;
CREATE INDEX records_at ON records (account_id, at, chain_id, seq);
CREATE INDEX records_call ON records (call_id) WHERE call_id IS NOT NULL;

CREATE TABLE checkpoints (
    chain_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    account_id BLOB NOT NULL,
    first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    root BLOB NOT NULL,
    previous BLOB NOT NULL,
    at INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (chain_id, number)
) STRICT;
