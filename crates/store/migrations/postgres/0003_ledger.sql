-- What model calls consumed, by hour. A row is of one chain, so that nodes never wait for each other.
CREATE TABLE usage_rollups (
    account_id UUID NOT NULL,
    hour BIGINT NOT NULL,
    chain_id BIGINT NOT NULL,
    user_id UUID NOT NULL,
    key_id UUID NOT NULL,
    agent_id UUID NOT NULL,
    session_id UUID NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    outcome TEXT NOT NULL,
    requests BIGINT NOT NULL,
    input BIGINT NOT NULL,
    cache_read BIGINT NOT NULL,
    cache_write BIGINT NOT NULL,
    output BIGINT NOT NULL,
    reasoning BIGINT NOT NULL,
    other BIGINT NOT NULL,
    cost BIGINT NOT NULL,
    unpriced BIGINT NOT NULL,
    zero_priced BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, hour, chain_id, key_id, session_id, model, outcome, agent_id, user_id, provider)
);
CREATE INDEX usage_rollups_session ON usage_rollups (account_id, session_id);

-- Lives of writers: from a start of the process to its end. One that is over is taken away before its open
-- calls are settled, so that it learns of it if it comes back.
CREATE TABLE lives (
    id UUID NOT NULL PRIMARY KEY,
    writer_id UUID NOT NULL
);

-- What one life of one writer has of one window of a budget: what its calls consumed, and what it holds
-- on lease. The sum over all of them never passes the hard limit.
CREATE TABLE budget_shares (
    budget_id UUID NOT NULL,
    -- of a budget of each one: which one; else nil
    subject_id UUID NOT NULL,
    window_start BIGINT NOT NULL,
    -- nil: what lives that are over have consumed
    life UUID NOT NULL,
    account_id UUID NOT NULL,
    writer_id UUID NOT NULL,
    -- when the window ends; null if it never does
    window_end BIGINT,
    settled BIGINT NOT NULL,
    leased BIGINT NOT NULL,
    PRIMARY KEY (budget_id, subject_id, window_start, life)
);
CREATE INDEX budget_shares_writer ON budget_shares (writer_id, life);
CREATE INDEX budget_shares_account ON budget_shares (account_id, window_end);

-- Limits that were reached, once a window.
CREATE TABLE budget_notices (
    budget_id UUID NOT NULL,
    subject_id UUID NOT NULL,
    window_start BIGINT NOT NULL,
    kind TEXT NOT NULL,
    account_id UUID NOT NULL,
    window_end BIGINT,
    at BIGINT NOT NULL,
    PRIMARY KEY (budget_id, subject_id, window_start, kind)
);

CREATE TABLE runtime_sessions (
    id UUID NOT NULL PRIMARY KEY,
    account_id UUID NOT NULL REFERENCES accounts (id),
    -- what the requests of one run have in common; holds the credential, so that nobody's id adopts another's
    identity TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source_id TEXT,
    principal TEXT NOT NULL,
    user_id UUID NOT NULL,
    key_id UUID NOT NULL,
    agent_id UUID,
    parent_id UUID,
    client TEXT,
    started_at BIGINT NOT NULL,
    last_activity_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    -- whoever ran it may not begin another
    blocked BOOLEAN NOT NULL
);
CREATE UNIQUE INDEX runtime_sessions_open ON runtime_sessions (account_id, identity) WHERE ended_at IS NULL;
CREATE INDEX runtime_sessions_account ON runtime_sessions (account_id, last_activity_at);
CREATE INDEX runtime_sessions_blocked ON runtime_sessions (account_id, principal) WHERE blocked;

CREATE INDEX records_session ON records (session_id, at) WHERE session_id IS NOT NULL;
