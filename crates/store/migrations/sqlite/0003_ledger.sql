-- What model calls consumed, by hour. A row is of one chain, so that nodes never wait for each other.
CREATE TABLE usage_rollups (
    account_id BLOB NOT NULL,
    hour INTEGER NOT NULL,
    chain_id INTEGER NOT NULL,
    user_id BLOB NOT NULL,
    key_id BLOB NOT NULL,
    agent_id BLOB NOT NULL,
    session_id BLOB NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    outcome TEXT NOT NULL,
    requests INTEGER NOT NULL,
    input INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,
    other INTEGER NOT NULL,
    cost INTEGER NOT NULL,
    unpriced INTEGER NOT NULL,
    zero_priced INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, hour, chain_id, key_id, session_id, model, outcome, agent_id, user_id, provider)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_rollups_session ON usage_rollups (account_id, session_id);

-- Lives of writers: from a start of the process to its end. One that is over is taken away before its open
-- calls are settled, so that it learns of it if it comes back.
CREATE TABLE lives (
    id BLOB NOT NULL PRIMARY KEY,
    writer_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What one life of one writer has of one window of a budget: what its calls consumed, and what it holds
-- on lease. The sum over all of them never passes the hard limit.
CREATE TABLE budget_shares (
    budget_id BLOB NOT NULL,
    -- of a budget of each one: which one; else nil
    subject_id BLOB NOT NULL,
    window_start INTEGER NOT NULL,
    -- nil: what lives that are over have consumed
    life BLOB NOT NULL,
    account_id BLOB NOT NULL,
    writer_id BLOB NOT NULL,
    -- when the window ends; null if it never does
    window_end INTEGER,
    settled INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    PRIMARY KEY (budget_id, subject_id, window_start, life)
) STRICT, WITHOUT ROWID;
CREATE INDEX budget_shares_writer ON budget_shares (writer_id, life);
CREATE INDEX budget_shares_account ON budget_shares (account_id, window_end);

-- Limits that were reached, once a window.
CREATE TABLE budget_notices (
    budget_id BLOB NOT NULL,
    subject_id BLOB NOT NULL,
    window_start INTEGER NOT NULL,
    kind TEXT NOT NULL,
    account_id BLOB NOT NULL,
    window_end INTEGER,
    at INTEGER NOT NULL,
    PRIMARY KEY (budget_id, subject_id, window_start, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE runtime_sessions (
    id BLOB NOT NULL PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts (id),
    -- what the requests of one run have in common; holds the credential, so that nobody's id adopts another's
    identity TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT,
    principal TEXT NOT NULL,
    user_id BLOB NOT NULL,
    key_id BLOB NOT NULL,
    agent_id BLOB,
    parent_id BLOB,
    client TEXT,
    started_at INTEGER NOT NULL,
    last_activity_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT,
    -- whoever ran it may not begin another
    blocked INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX runtime_sessions_open ON runtime_sessions (account_id, identity) WHERE ended_at IS NULL;
CREATE INDEX runtime_sessions_account ON runtime_sessions (account_id, last_activity_at);
CREATE INDEX runtime_sessions_blocked ON runtime_sessions (account_id, principal) WHERE blocked;

CREATE INDEX records_session ON records (session_id, at) WHERE session_id IS NOT NULL;
