-- Managed agents are rows: their keys point at them.

CREATE TABLE managed_agents (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- what the agent's own installation calls it: (kind of agent, its id)
    source_type TEXT NOT NULL,
    source_id TEXT NOT NULL,
    reference TEXT,
    enrolled_via TEXT NOT NULL,
    tags TEXT NOT NULL,
    owner_id BLOB,
    state TEXT NOT NULL,
    state_reason TEXT,
    state_changed_at INTEGER,
    model_bindings TEXT NOT NULL DEFAULT '[]',
    last_seen_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    UNIQUE (account_id, source_type, source_id)
) STRICT;
CREATE INDEX managed_agents_name ON managed_agents (account_id, name);

CREATE TABLE agent_enrollments (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL,
    agent_id BLOB NOT NULL,
    enrollment_type TEXT NOT NULL,
    adapter_key TEXT,
    status TEXT NOT NULL,
    target_path TEXT,
    -- what was found, what was written, what was kept and what was checked; without secrets
    details TEXT NOT NULL,
    restore_available INTEGER NOT NULL,
    applied_at INTEGER,
    validated_at INTEGER,
    restored_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, id),
    FOREIGN KEY (account_id, agent_id) REFERENCES managed_agents (account_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX agent_enrollments_agent ON agent_enrollments (account_id, agent_id);

-- Until now an agent was written into each of its keys; the newest key knows it best.
INSERT INTO managed_agents (id, account_id, name, kind, source_type, source_id, enrolled_via, tags, owner_id, state,
                            last_seen_at, created_at, updated_at)
SELECT unhex(replace(json_extract(agent, '$.id'), '-', '')), account_id, json_extract(agent, '$.name'),
       json_extract(agent, '$.kind'), json_extract(agent, '$.kind'), json_extract(agent, '$.id'), 'api_key',
       json_extract(agent, '$.tags'), user_id, 'active', coalesce(last_used_at, created_at), created_at, created_at
FROM (SELECT *, row_number() OVER (PARTITION BY account_id, json_extract(agent, '$.id') ORDER BY created_at DESC, id DESC) AS nth
      FROM api_keys WHERE agent IS NOT NULL) AS newest
WHERE nth = 1;

ALTER TABLE api_keys ADD COLUMN agent_id BLOB;
UPDATE api_keys SET agent_id = unhex(replace(json_extract(agent, '$.id'), '-', '')) WHERE agent IS NOT NULL;
ALTER TABLE api_keys DROP COLUMN agent;
CREATE INDEX api_keys_agent ON api_keys (account_id, agent_id) WHERE agent_id IS NOT NULL;
CREATE INDEX runtime_sessions_agent ON runtime_sessions (account_id, agent_id) WHERE agent_id IS NOT NULL;

-- Whether agents' own tools need a person where no rule speaks about them.
ALTER TABLE account_defaults ADD COLUMN native_tool_approvals TEXT NOT NULL DEFAULT 'enforce';
